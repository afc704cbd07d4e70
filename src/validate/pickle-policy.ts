/** How an import is judged: harmless, on no list, or able to run code. */
export type Judgement = 'allowed' | 'suspicious' | 'denied';

/** Parts of names as one list of words. */
const words = (text: string): string[] => text.trim().split(/\s+/);

/**
 * Modules that give a file power over the machine. One is denied wherever it stands in a dotted name, as
 * names resolve attributes of modules: `torch` `os.system`. Source: the lists of mmaitre314/picklescan.
 */
const deniedWords = new Set(
  words(`
    os posix nt sys subprocess commands pty runpy code codeop marshal types importlib imp pkgutil
    zipimport ctypes shutil tempfile socket ssl http httplib urllib urllib2 requests aiohttp
    smtplib ftplib imaplib xmlrpc socketserver asyncio multiprocessing threading signal atexit
    webbrowser pickle cPickle dill cloudpickle joblib shelve sqlite3 pip ensurepip venv
    distutils setuptools pydoc doctest unittest test timeit trace cProfile profile pdb bdb idlelib
    lib2to3 inspect gc site linecache fileinput glob platform mmap uuid logging tarfile zipfile
    functools operator _thread _osx_support _aix_support _pyrepl __import__ __loader__ __globals__
    __builtins__ __subclasses__ __getattribute__ __getattr__ __setattr__ __delattr__ __code__ __reduce__
    __reduce_ex__ __class__ __bases__ __base__ __mro__ __dict__ __self__ __func__ __call__ __closure__`),
);

/** Names that run what they are given, whatever module they are asked of. */
const deniedLast = new Set(
  words(`
    eval exec execfile system popen Popen check_call check_output getoutput getstatusoutput run_module
    run_path import_module load_module exec_module load_library _load_from_bytes read_pickle`),
);

/** Names of the built-in module that run, read or change what a file should not. */
const deniedBuiltins = new Set(
  words(`
    eval exec compile open getattr setattr delattr __import__ apply execfile file input raw_input
    breakpoint globals locals vars memoryview help exit quit`),
);

/** Modules with all that is in them, and single names, that are denied by their full name. */
const deniedNames = words(`
  _io.FileIO io.FileIO io.open io.open_code numpy.testing._private.utils numpy.f2py
  torch.serialization.load torch.load torch.hub torch.jit torch._inductor.codecache
  torch._dynamo.guards torch.fx.experimental.symbolic_shapes torch.utils.collect_env
  torch.utils._config_module torch.utils.data.datapipes.utils.decoder torch.utils.bottleneck
  torch.utils.cpp_extension torch.utils.model_zoo torch.package torch.ops torch.classes
  torch.export.load torch.distributed.rpc torch.storage._load_from_bytes numpy.ctypeslib numpy.lib.npyio numpy.lib._npyio_impl
  typing.ForwardRef typing._eval_type typing.get_type_hints dataclasses._create_fn dataclasses.make_dataclass
  copyreg.add_extension numpy.load numpy.save numpy.fromfile numpy.memmap`);

/** Methods of paths, which make, write and remove files; paths themselves are common in checkpoints. */
const pathMethod = /^pathlib\.(?:_\w+\.)?[A-Z]\w*\./;

/** Names with a denied word that are common in files of scikit-learn and joblib. */
const commonNames = new Set(
  words(`
    joblib.numpy_pickle.NumpyArrayWrapper numpy.random._pickle.__randomstate_ctor
    numpy.random._pickle.__generator_ctor numpy.random._pickle.__bit_generator_ctor`),
);

/** What TorchScript calls in the pickles of its archives: each gives back what it is given. Source: torch/jit/_pickle.py. */
const scriptNames = new Set(
  words(`
    build_intlist build_tensorlist build_doublelist build_boollist build_tensor_from_id
    restore_type_tag`).map((name) => `torch.jit._pickle.${name}`),
);

const dtypeNames = words(`
  float64 double float32 float float16 half bfloat16 complex32 chalf complex64 cfloat complex128 cdouble
  uint8 uint16 uint32 uint64 int8 int16 short int32 int int64 long bool quint8 qint8 qint32 quint4x2
  quint2x4 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2
  uint1 uint2 uint3 uint4 uint5 uint6 uint7 int1 int2 int3 int4 int5 int6 int7`);

const rebuildNames = words(`
  _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter
  _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor
  _rebuild_meta_tensor_no_storage _rebuild_wrapper_subclass _rebuild_device_tensor_from_numpy
  _rebuild_device_tensor_from_cpu_tensor`);

const quantizations = words(`
  per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric
  per_channel_affine_float_qparams`);

const torchNames = ['Size', 'Tensor', 'device', ...dtypeNames, ...quantizations];

/** Names that files of weights need and that do nothing else. */
const allowedNames = new Set([
  ...['collections.OrderedDict', 'collections.Counter', '_codecs.encode'],
  ...['builtins.set', 'builtins.bytes', 'builtins.bytearray', 'builtins.complex'],
  ...torchNames.map((name) => `torch.${name}`),
  ...rebuildNames.map((name) => `torch._utils.${name}`),
  ...['torch._tensor._rebuild_from_type_v2', 'torch.nn.parameter.Parameter'],
  ...['torch.storage.UntypedStorage', 'torch.storage.TypedStorage'],
  'torch.serialization._get_layout',
  ...['numpy.dtype', 'numpy.ndarray'],
  ...['numpy.core.multiarray._reconstruct', 'numpy._core.multiarray._reconstruct'],
  ...['numpy.core.numeric._frombuffer', 'numpy._core.numeric._frombuffer'],
]);
const storageName = /^torch\.(?:[a-z]+\.)?[A-Z][A-Za-z0-9]*Storage$/;

/** Names that only `torch.load` without `weights_only` takes. */
const beyondWeights = /^(?:numpy\.|torch\.jit\.|builtins\.bytes$)/;

/** Modules of Python 2 by what Python 3 imports in their place. Source: Lib/_compat_pickle.py. */
const modulesOfPython2: Readonly<Record<string, string>> = {
  __builtin__: 'builtins',
  copy_reg: 'copyreg',
  cPickle: 'pickle',
  cStringIO: 'io',
  StringIO: 'io',
  commands: 'subprocess',
  httplib: 'http.client',
  urllib2: 'urllib.request',
  urlparse: 'urllib.parse',
  thread: '_thread',
  SocketServer: 'socketserver',
  SimpleHTTPServer: 'http.server',
  BaseHTTPServer: 'http.server',
  CGIHTTPServer: 'http.server',
  xmlrpclib: 'xmlrpc.client',
  SimpleXMLRPCServer: 'xmlrpc.server',
  Queue: 'queue',
  ConfigParser: 'configparser',
  repr: 'reprlib',
  UserDict: 'collections',
  UserList: 'collections',
  UserString: 'collections',
  exceptions: 'builtins',
  dbhash: 'dbm.bsd',
  anydbm: 'dbm',
  whichdb: 'dbm',
};

/** Names of Python 2 by those of Python 3 where the module does not tell. */
const namesOfPython2: Readonly<Record<string, string>> = {
  '__builtin__.reduce': 'functools.reduce',
  '__builtin__.intern': 'sys.intern',
  '__builtin__.raw_input': 'builtins.input',
  '__builtin__.unichr': 'builtins.chr',
  '__builtin__.unicode': 'builtins.str',
  '__builtin__.xrange': 'builtins.range',
  '__builtin__.long': 'builtins.int',
  'os.getcwdu': 'os.getcwd',
  'urllib.urlopen': 'urllib.request.urlopen',
  'urllib.urlretrieve': 'urllib.request.urlretrieve',
};

/** The full name under which Python 3 finds an import; names of Python 2 are mapped up to protocol 2. */
export function importedName(module: string, name: string): string {
  const full = `${module}.${name}`;
  const mapped = Object.hasOwn(namesOfPython2, full) ? namesOfPython2[full] : undefined;
  if (mapped !== undefined) return mapped;
  const known = Object.hasOwn(modulesOfPython2, module) ? modulesOfPython2[module] : undefined;
  return `${known ?? module}.${name}`;
}

/**
 * Judges an import by both of its names, that of Python 2 and that of Python 3. What is on no list is
 * suspicious: a list of what is harmful is never complete.
 */
export function judgeImport(module: string, name: string): Judgement {
  const now = importedName(module, name);
  const then = `${module}.${name}`;
  if (commonNames.has(now)) return 'suspicious';
  if (scriptNames.has(now)) return 'allowed';
  if (isDenied(now) || isDenied(then)) return 'denied';
  return allowedNames.has(now) || storageName.test(now) ? 'allowed' : 'suspicious';
}

/** Tells whether `torch.load` takes an import with `weights_only=True`. */
export function isForWeights(module: string, name: string): boolean {
  const now = importedName(module, name);
  return judgeImport(module, name) === 'allowed' && !beyondWeights.test(now);
}

function isDenied(full: string): boolean {
  const parts = full.split('.');
  // Modules import others under a name of their own: random has os as _os, collections has sys as _sys.
  if (parts.some((part) => deniedWords.has(part) || deniedWords.has(part.replace(/^_+/, ''))))
    return true;
  if (deniedLast.has(parts.at(-1) ?? '') || pathMethod.test(full)) return true;
  const [first = '', ...rest] = parts;
  if (/^(?:builtins|__builtin__)$/.test(first) && rest.some((part) => deniedBuiltins.has(part)))
    return true;
  return deniedNames.some((name) => full === name || full.startsWith(`${name}.`));
}
