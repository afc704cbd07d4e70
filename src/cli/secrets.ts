/** Names of variables in which programs are handed secrets, by how they end. */
const secretName =
  /(?:TOKEN|PASSWORD|PASSPHRASE|SECRET|SECRET_ACCESS_KEY|PRIVATE_KEY|API_KEY|CREDENTIALS_JSON)$/i;

/** Shorter values are words that texts hold anyway. */
const lengthMin = 8;

/**
 * Takes values of the environment that are secrets out of a text. Nothing of ours puts them there; a service that repeats
 * what it was sent does, and its words are shown.
 */
export function withoutSecrets(text: string, env: NodeJS.ProcessEnv): string {
  let clean = text;
  for (const [name, value = ''] of Object.entries(env)) {
    const secret = value.trim();
    if (secret.length < lengthMin || !secretName.test(name)) continue;
    clean = clean.replaceAll(secret, '…');
  }
  return clean;
}
