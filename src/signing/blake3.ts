/** BLAKE3, which Node lacks, loaded when a signature has digests of it. */
export { blake3 } from '@noble/hashes/blake3.js';
