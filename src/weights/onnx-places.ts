/** Says what is wrong with a location, which must stay in the folder of the model. */
export function locationProblem(location: string): string | undefined {
  if (location === '') return 'is empty';
  if (location.includes('\0')) return 'has a NUL';
  if (location.includes('\\')) return 'has a backslash';
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(location)) return 'is a URL, or starts with a drive';
  if (location.startsWith('/')) return 'is absolute';
  if (location.split('/').some((part) => part.includes('..') && /^\.+$/.test(part)))
    return 'leaves the folder of the model';
  return plainLocation(location) === '' ? 'is no file' : undefined;
}

/** Writes a location without empty parts and those that stay where they are. */
export function plainLocation(location: string): string {
  return location
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** Reads a number of bytes; undefined for what is none. */
export function decimalBytes(text: string): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}
