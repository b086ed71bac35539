/** In which form copies are stored, and by which names the agents know what opens them. Rule: secrets themselves are never entered here. */
import type { JobRequest } from "../../../protocol/mesh/console_documents.ts";
import { Field } from "../ui/format_parts.tsx";

export interface StoredForm {
  isCompressed: boolean;
  isEncrypted: boolean;
  /** Public keys, one a line. */
  recipients: string;
  passphraseName: string;
}

export const PLAIN: StoredForm = {
  isCompressed: false,
  isEncrypted: false,
  recipients: "",
  passphraseName: "",
};

export function recipientsOf({ recipients }: StoredForm): string[] {
  return recipients.split(/\s+/).filter((key) => key !== "");
}

/** Encrypting needs somebody who can read it again. */
export function isWhole(form: StoredForm): boolean {
  return !form.isEncrypted || form.passphraseName.trim() !== "" || recipientsOf(form).length > 0;
}

export function jobPart(form: StoredForm): Pick<JobRequest, "encoding" | "keys"> {
  const { isCompressed, isEncrypted } = form;
  if (!isCompressed && !isEncrypted) return {};
  const passphrase = form.passphraseName.trim();
  return {
    encoding: {
      codec: isEncrypted ? isCompressed ? "zst.age" : "age" : "zst",
      recipients: isEncrypted ? recipientsOf(form) : [],
    },
    ...(isEncrypted && passphrase !== "" ? { keys: { passphrase } } : {}),
  };
}

export function commandPart(form: StoredForm): string[] {
  const passphrase = form.passphraseName.trim();
  return [
    ...(form.isCompressed ? ["--compress"] : []),
    ...(form.isEncrypted
      ? [
        "--encrypt",
        ...recipientsOf(form).flatMap((key) => ["--recipient", key]),
        ...(passphrase === "" ? [] : ["--passphrase-name", passphrase]),
      ]
      : []),
  ];
}

export function StoredFormFields(
  { form, onForm }: { form: StoredForm; onForm(form: StoredForm): void },
) {
  return (
    <>
      <label class="check">
        <input
          type="checkbox"
          checked={form.isCompressed}
          onChange={(event) => onForm({ ...form, isCompressed: event.currentTarget.checked })}
        />
        Compress (zstd)
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={form.isEncrypted}
          onChange={(event) => onForm({ ...form, isEncrypted: event.currentTarget.checked })}
        />
        Encrypt (age)
      </label>
      {form.isEncrypted && (
        <>
          <Field label="Name of the passphrase" hint="As the agents know it, by their --secret">
            <input
              value={form.passphraseName}
              onInput={(event) => onForm({ ...form, passphraseName: event.currentTarget.value })}
            />
          </Field>
          <Field label="Public keys of who may read the copies" hint="age1…, one a line">
            <textarea
              class="mono"
              rows={2}
              value={form.recipients}
              onInput={(event) => onForm({ ...form, recipients: event.currentTarget.value })}
            />
          </Field>
        </>
      )}
    </>
  );
}
