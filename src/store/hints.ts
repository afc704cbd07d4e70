/**
 * Says how a damaged object of a remote is healed. What it held of older versions has to be sent again too.
 * @param object names it in the middle of a sentence
 */
export function pushedAgain(object: string): string {
  return `Remove ${object} from the remote, then push again with --all-versions from a host that has the data`;
}
