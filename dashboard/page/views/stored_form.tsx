/** In which form copies are stored, and by which names the agents know what opens them. Rule: secrets themselves are never entered here. */
import type { JobRequest } from "../../../protocol/mesh/console_documents.ts";
import { Field } from "../ui/format_parts.tsx";

export interface StoredForm {
  isCompressed: boolean;
  isEncrypted: boolean;
  /** Public keys, one a line. */
  recipients: string;
  passphraseName: string;
  /** Of all repositories among the destinations. */
  repositoryPasswordName: string;
}

export const PLAIN: StoredForm = {
  isCompressed: false,
  isEncrypted: false,
  recipients: "",
  passphraseName: "",
  repositoryPasswordName: "",
};

export function recipientsOf({ recipients }: StoredForm): string[] {
  return recipients.split(/\s+/).filter((key) => key !== "");
}

/** Encrypting needs somebody who can read it again, and a repository opens with its password only. */
export function isWhole(form: StoredForm, hasRepository: boolean): boolean {
  const canRead = !form.isEncrypted || form.passphraseName.trim() !== "" ||
    recipientsOf(form).length > 0;
  return canRead && (!hasRepository || form.repositoryPasswordName.trim() !== "");
}

export function jobPart(
  form: StoredForm,
  hasRepository: boolean,
): Pick<JobRequest, "encoding" | "keys"> {
  const { isCompressed, isEncrypted } = form;
  const passphrase = form.passphraseName.trim();
  const repositoryPassword = form.repositoryPasswordName.trim();
  const keys = {
    ...(isEncrypted && passphrase !== "" ? { passphrase } : {}),
    ...(hasRepository && repositoryPassword !== "" ? { repositoryPassword } : {}),
  };
  const codec = isEncrypted
    ? isCompressed ? "zst.age" as const : "age" as const
    : isCompressed
    ? "zst" as const
    : undefined;
  return {
    ...(codec === undefined
      ? {}
      : { encoding: { codec, recipients: isEncrypted ? recipientsOf(form) : [] } }),
    ...(Object.keys(keys).length === 0 ? {} : { keys }),
  };
}

export function commandPart(form: StoredForm, hasRepository: boolean): string[] {
  const passphrase = form.passphraseName.trim();
  const repositoryPassword = form.repositoryPasswordName.trim();
  return [
    ...(form.isCompressed ? ["--compress"] : []),
    ...(form.isEncrypted
      ? [
        "--encrypt",
        ...recipientsOf(form).flatMap((key) => ["--recipient", key]),
        ...(passphrase === "" ? [] : ["--passphrase-name", passphrase]),
      ]
      : []),
    ...(hasRepository && repositoryPassword !== "" ? ["--password-name", repositoryPassword] : []),
  ];
}

export function StoredFormFields(
  { form, hasRepository, onForm }: {
    form: StoredForm;
    hasRepository: boolean;
    onForm(form: StoredForm): void;
  },
) {
  return (
    <>
      {hasRepository && (
        <Field
          label="Name of the repository's password"
          hint="As the agents know it, by their --secret; the password itself is never entered here"
        >
          <input
            value={form.repositoryPasswordName}
            placeholder="repo"
            onInput={(event) =>
              onForm({ ...form, repositoryPasswordName: event.currentTarget.value })}
          />
        </Field>
      )}
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
