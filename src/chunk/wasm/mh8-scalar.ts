// AssemblyScript: the kernel for machines without SIMD; one source for the rule.
export { copy, scanScalar as scan } from './mh8';
