/** In which form copies are stored, and by which names the agents know what opens them. Rule: secrets themselves are never entered here. */
import type { JobRequest } from "../../../protocol/mesh/console_documents.ts";
import { Field } from "../ui/format_parts.tsx";

export interface StoredForm {
  isCompressed: boolean;
  isEncrypted: boolean;
  /** Public keys, one a line. */
  recipients: string;
  passphraseName: string;
  /** Of all repositories among the destinations that have none of their own. */
  repositoryPasswordName: string;
  /** Of single ones, by `restic:PATH`. */
  ownPasswordNames: Readonly<Record<string, string>>;
}

export const PLAIN: StoredForm = {
  isCompressed: false,
  isEncrypted: false,
  recipients: "",
  passphraseName: "",
  repositoryPasswordName: "",
  ownPasswordNames: {},
};

export function recipientsOf({ recipients }: StoredForm): string[] {
  return recipients.split(/\s+/).filter((key) => key !== "");
}

/** Encrypting needs somebody who can read it again, and a repository opens with its password only. */
export function isWhole(form: StoredForm, repositories: readonly string[]): boolean {
  const canRead = !form.isEncrypted || form.passphraseName.trim() !== "" ||
    recipientsOf(form).length > 0;
  const isForAll = form.repositoryPasswordName.trim() !== "";
  return canRead && (isForAll || ownNames(form, repositories).length === repositories.length);
}

/** Of those that are destinations now; a single one has the name for all. */
function ownNames(
  { ownPasswordNames }: StoredForm,
  repositories: readonly string[],
): { repository: string; password: string }[] {
  if (repositories.length < 2) return [];
  return repositories.flatMap((repository) => {
    const password = ownPasswordNames[repository]?.trim() ?? "";
    return password === "" ? [] : [{ repository, password }];
  });
}

export function jobPart(
  form: StoredForm,
  repositories: readonly string[],
): Pick<JobRequest, "encoding" | "keys"> {
  const { isCompressed, isEncrypted } = form;
  const passphrase = form.passphraseName.trim();
  const repositoryPassword = form.repositoryPasswordName.trim();
  const own = ownNames(form, repositories);
  const keys = {
    ...(isEncrypted && passphrase !== "" ? { passphrase } : {}),
    ...(repositories.length > 0 && repositoryPassword !== "" ? { repositoryPassword } : {}),
    ...(own.length > 0 ? { repositories: own } : {}),
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

export function commandPart(form: StoredForm, repositories: readonly string[]): string[] {
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
    ...(repositories.length > 0 && repositoryPassword !== ""
      ? ["--password-name", repositoryPassword]
      : []),
    ...ownNames(form, repositories).flatMap(({ repository, password }) => [
      "--password-name",
      `${repository}=${password}`,
    ]),
  ];
}

export function StoredFormFields(
  { form, repositories, onForm }: {
    form: StoredForm;
    repositories: readonly string[];
    onForm(form: StoredForm): void;
  },
) {
  return (
    <>
      {repositories.length > 0 && (
        <Field
          label={repositories.length > 1
            ? "Name of the repositories' password"
            : "Name of the repository's password"}
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
      {repositories.length > 1 && repositories.map((repository) => (
        <Field
          key={repository}
          label={`Name of the password of ${repository}`}
          hint="Only if it has one of its own"
        >
          <input
            value={form.ownPasswordNames[repository] ?? ""}
            placeholder={form.repositoryPasswordName}
            onInput={(event) =>
              onForm({
                ...form,
                ownPasswordNames: {
                  ...form.ownPasswordNames,
                  [repository]: event.currentTarget.value,
                },
              })}
          />
        </Field>
      ))}
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
