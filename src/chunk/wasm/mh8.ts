// AssemblyScript, compiled by `npm run build` into dist/chunk/. Addresses are offsets in the imported memory;
// every function reads the seven bytes before `from` as well.

const k1: i32 = <i32>0x9e3779b1;
const k2: i32 = <i32>0x85ebca77;

/** Returns the first address in [from, to) behind which the rule mh8 cuts, or -1. */
export function scanScalar(from: usize, to: usize, threshold: i32): isize {
  for (let at = from; at < to; at++) {
    if (load<i32>(at - 7) * k1 + load<i32>(at - 3) * k2 < threshold) return at;
  }
  return -1;
}

/** The same, 32 positions at a time; the few that hit are found again one by one. */
export function scan(from: usize, to: usize, threshold: i32): isize {
  const v1 = i32x4.splat(k1);
  const v2 = i32x4.splat(k2);
  const t = i32x4.splat(threshold);
  let at = from;
  for (; at + 32 <= to; at += 32) {
    const p = at - 7;
    let hit = i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p), v1), i32x4.mul(v128.load(p, 4), v2)), t);
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 1), v1), i32x4.mul(v128.load(p, 5), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 2), v1), i32x4.mul(v128.load(p, 6), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 3), v1), i32x4.mul(v128.load(p, 7), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 16), v1), i32x4.mul(v128.load(p, 20), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 17), v1), i32x4.mul(v128.load(p, 21), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 18), v1), i32x4.mul(v128.load(p, 22), v2)), t));
    hit = v128.or(hit, i32x4.lt_s(i32x4.add(i32x4.mul(v128.load(p, 19), v1), i32x4.mul(v128.load(p, 23), v2)), t));
    if (v128.any_true(hit)) return scanScalar(at, at + 32, threshold);
  }
  return scanScalar(at, to, threshold);
}

/** Copies bytes within the memory. */
export function copy(target: usize, source: usize, bytes: usize): void {
  memory.copy(target, source, bytes);
}
