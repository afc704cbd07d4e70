import { Storage } from '@google-cloud/storage';
import { crc32c } from '@node-rs/crc32';
import {
  BaseExternalAccountClient,
  Compute,
  Impersonated,
  JWT,
  PassThroughClient,
  UserRefreshClient,
} from 'google-auth-library';

/**
 * What the GCS backend uses of the SDK, and the checksum of the service as compiled code: that of the SDK
 * is fifty times slower. Nothing else is in this module, so that it can be loaded as a file of its own,
 * and only when a remote of this kind is used.
 */
export const gcsSdk = {
  Storage,
  PassThroughClient,
  kindsOfClients: { BaseExternalAccountClient, Compute, Impersonated, JWT, UserRefreshClient },
  crc32c,
};
