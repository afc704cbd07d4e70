import { remoteContract } from '../contract/remote.ts';
import { faultSuite } from '../fault/service-faults.ts';
import { freshFolder, type ServiceTarget } from '../support/service-target.ts';

const partBytesMin = 5 * 1024 * 1024;

/** All that a service must stand, whoever made it. */
export function serviceSuites(target: ServiceTarget): void {
  remoteContract(target.name, () => target.remote(freshFolder()));
  remoteContract(`${target.name}, in parts,`, () =>
    target.remote(freshFolder(), { partBytes: partBytesMin }),
  );
  faultSuite(target, { stallMsMax: 1000, partBytes: partBytesMin });
}
