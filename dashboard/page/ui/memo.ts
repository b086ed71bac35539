/** A component that is drawn again only when something it is given is another object. */
import { Component, type ComponentChildren, type ComponentType, h } from "preact";

export function memo<P extends object>(draw: (props: P) => ComponentChildren): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const now = this.props as Record<string, unknown>;
      const then = next as Record<string, unknown>;
      for (const key in then) if (then[key] !== now[key]) return true;
      for (const key in now) if (!(key in then)) return true;
      return false;
    }
    override render() {
      return h(draw as ComponentType<P>, this.props as P);
    }
  };
}
