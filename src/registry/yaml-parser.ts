/**
 * All that is used of the YAML library, which is bundled as a part of its own and loaded when the first
 * file in YAML is read.
 */
export { isScalar, parseDocument, visit } from 'yaml';
