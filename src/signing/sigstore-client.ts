/** The clients of Sigstore's authority and log, loaded when somebody signs with an account. */
export { bundleToJSON } from '@sigstore/bundle';
export { DSSEBundleBuilder, FulcioSigner, RekorWitness } from '@sigstore/sign';
