/** What is used of age; loaded when a key is wrapped or unwrapped. */
export {
  Decrypter,
  Encrypter,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption';
