/** All peers, and which of them are here. */
import { borg, casync, restic } from './peers-backup.js';
import { gitAnnex, gitLfs } from './peers-git.js';
import { dvc, hfXet } from './peers-python.js';
import { builtProgram } from './service-servers.js';
import { awsCli, rclone, rcloneSource } from './service-tools.js';

/** Every peer that the bench knows, in the order in which they take turns. */
function knownPeers(venv) {
  return [gitLfs, restic, borg, casync, gitAnnex, dvc(venv), hfXet(venv)];
}

/**
 * The peers that are asked for, each with its version where it is installed.
 * @param forServices whether those for the section of services are wanted too
 */
export async function findPeers({ venv, names, forServices }) {
  const own = knownPeers(venv);
  const services = [
    rclone(forServices ? await builtProgram(rcloneSource) : undefined),
    awsCli(venv),
  ];
  const all = [...own, ...services];
  const unknown = (names ?? []).filter((name) => all.every((peer) => peer.name !== name));
  if (unknown.length > 0) throw new Error(`Not a peer: ${unknown.join(', ')}`);
  const asked = (peers) =>
    peers
      .filter((peer) => names === undefined || names.includes(peer.name))
      .map((peer) => ({ ...peer, version: peer.find() }));
  return { peers: asked(own), servicePeers: forServices ? asked(services) : [] };
}
