import type { KeyRule } from './config.ts';

/** Keys of the configuration about encrypted remotes. */
export const encryptionKeys: Readonly<Record<string, KeyRule>> = {
  'remote.NAME.encryption': {
    type: 'string',
    about:
      'Id of the key that the remote must be encrypted by, 32 hexadecimal digits that "mstore remote add" and "rekey" write',
    check: (value) => /^[0-9a-f]{32}$/.test(String(value)),
  },
  'remote.NAME.passphrase_env': {
    type: 'string',
    about:
      'Variable that holds the passphrase of the remote, on this machine; by default MSTORE_PASSPHRASE',
    check: (value) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(String(value)),
  },
  'identity.file': {
    type: 'string',
    about:
      'File of the age identities that open encrypted remotes, on this machine: MSTORE_IDENTITY_FILE',
    check: (value) => String(value).trim() !== '',
  },
};
