import { remoteContract } from '../contract/remote.ts';
import { faultSuite } from '../fault/service-faults.ts';
import { hostsSuite } from '../fault/service-hosts.ts';
import { killSuite } from '../fault/service-kill.ts';
import { freshFolder, type ServiceTarget } from '../support/service-target.ts';

/** The least size of a part that is not the last, as S3 has it. */
const partBytes = 5 * 1024 * 1024;
const hosts = 6;

/** What a service must stand by any way to it: the contract, and many hosts at once. */
export function directSuites(target: ServiceTarget): void {
  remoteContract(target.name, () => target.remote(freshFolder()));
  remoteContract(`${target.name}, in parts,`, () => target.remote(freshFolder(), { partBytes }));
  hostsSuite(target, hosts);
}

/**
 * What goes by the proxy, for which the service must be reached by HTTP: faults, and kills.
 * @param kills how often a push is killed; most of the time goes by there, so not every server has all
 */
export function proxySuites(target: ServiceTarget, { kills = 50 } = {}): void {
  faultSuite(target, { stallMsMax: 1000, partBytes });
  killSuite(target, kills);
}
