"""A pretended CuPy, for what a machine without a GPU can test of the code around the kernels.

Arrays lie in NumPy's memory and have its addresses. What CuPy refuses is refused: NumPy's arrays as
operands, arrays of another device, matrix products while a stream is captured. Memory is counted,
new memory holds NaNs, memory can run out, and whatever makes the host wait is noted in `waits`.
Kernels are called with addresses; a `runner` may run them, else they are only noted in `launches`.
`installed(monkeypatch)` puts it in CuPy's place.
"""

import functools
import gc
import pickle
import sys
import threading
import time
import types
import weakref
from contextlib import contextmanager
from importlib.machinery import ModuleSpec

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.signal
import scipy.special

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.toolchain import Binary, Resources
from gpuad.executors.cuda import compile_cache, cublas, launch

ROUND = 512
CUBLAS = ("dot", "matmul", "tensordot", "einsum", "inner", "outer", "vdot")
VIEWS = ("reshape", "transpose", "broadcast_to", "moveaxis", "expand_dims", "real", "imag", "flip",
         "ravel", "ascontiguousarray", "asarray", "squeeze", "swapaxes")  # fmt: skip


class OutOfMemoryError(MemoryError):
    pass


class Machine:
    """The GPUs, and what has been done with them."""

    def __init__(self, devices=2, capacity=1 << 34, runner=None):
        self.capacity, self.free = capacity, [capacity] * devices
        self.used = self.peak = 0
        self.current = 0
        self.waits, self.launches = [], []
        self.runner = runner
        self.regions, self.graph_memory = {}, {}
        self._defaults = [Stream(self, 0) for _ in range(devices)]
        self._threads = threading.local()
        self.default_pool = Pool(self)
        self.allocators = [self.default_pool.malloc]
        self.capturing = None

    @property
    def streams(self):
        """For each GPU the streams that are current in this thread, one in another."""
        if not hasattr(self._threads, "streams"):
            self._threads.streams = [[x] for x in self._defaults]
        return self._threads.streams

    def current_stream(self):
        return self.streams[self.current][-1]

    def wait(self, what):
        if self.capturing is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        self.waits.append(what)

    def do(self, work):
        """Runs it, or keeps it for the graph that is being captured."""
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)

    def region(self, pointer):
        """The memory that an address is in."""
        for start, (end, buffer) in list(self.regions.items()):
            if start <= pointer < max(end, start + 1):
                return start, buffer
        raise RuntimeError("cudaErrorIllegalAddress")

    def replay(self, work):
        """A captured graph: what its pool keeps is its own."""
        self.regions |= self.graph_memory
        try:
            for f in work:
                f()
        finally:
            for start in self.graph_memory:
                del self.regions[start]


class Memory:
    """A run of bytes, which goes back to its pool when nobody has it."""

    def __init__(self, machine, pool, buffer, size):
        self.buffer, self.size, self.ptr = buffer, size, buffer.ctypes.data
        self.device_id = machine.current
        # What a graph has used before may have been larger.
        end = size if pool is machine.default_pool else len(buffer)
        machine.regions[self.ptr] = (self.ptr + end, buffer)
        machine.used += len(buffer)
        machine.peak = max(machine.peak, machine.used)
        weakref.finalize(self, pool.take_back, machine.current, buffer)


class UnownedMemory:
    def __init__(self, machine, pointer, size, owner, device_id):
        start, buffer = machine.region(pointer)
        self.buffer, self.ptr = buffer[pointer - start :], pointer
        self.size, self.owner, self.device_id = size, owner, device_id


class Cublas:
    """cuBLAS on addresses: matrices in column order, all of which must be in allocated memory.

    A handle has a stream and a workspace, which goes when a stream is set. What the workspace holds
    is lost in every product.
    """

    def __init__(self, machine):
        self.calls, self.streams, self.workspaces = [], [], []
        self.failures = []
        """What creating a handle gives next, before it works."""
        self.between = lambda: None
        """Called after each setting: other threads may run."""
        self._machine = machine
        self._stream = self._workspace = None
        # ctypes hangs the types of arguments on the functions, which methods do not take.
        self.cublasSgemmStridedBatched = lambda *args: self._gemm(np.float32, *args)
        self.cublasDgemmStridedBatched = lambda *args: self._gemm(np.float64, *args)
        self.cublasSetStream_v2 = lambda handle, stream: self._set_stream(stream)
        self.cublasSetWorkspace_v2 = lambda handle, *place: self._set_workspace(*place)
        self.cublasCreate_v2 = lambda handle: self.failures.pop() if self.failures else 0

    def _set_stream(self, stream):
        self._stream, self._workspace = stream, None
        self.streams.append(stream)
        self.between()
        return 0

    def _set_workspace(self, start, size):
        if start % 256:
            return 7
        self._workspace = start, size
        self.workspaces.append(size)
        self.between()
        return 0

    def _gemm(self, dtype, handle, ta, tb, m, n, k, alpha, *matrices):
        a, lda, step_a, b, ldb, step_b, beta, c, ldc, step_c, count = matrices
        assert alpha._obj.value == 1 and beta._obj.value in (0, 1)
        add = beta._obj.value
        assert self._stream == self._machine.current_stream().ptr, "another thread's stream"
        if lda < max(1, k if ta else m) or ldb < max(1, n if tb else k) or ldc < max(1, m):
            return 7  # CUBLAS_STATUS_INVALID_VALUE
        if self._workspace is None or self._workspace[1] < 1 << 14:
            return 3  # CUBLAS_STATUS_ALLOC_FAILED
        start, size = self._workspace
        self.calls.append((ta, tb, m, n, k, count))

        def work():
            memory, buffer = self._machine.region(start)
            assert start + size <= self._machine.regions[memory][0], "a workspace too small"
            buffer[start - memory : start - memory + size] = 0xFF
            for i in range(count):
                x = self._matrix(dtype, a, (k, m) if ta else (m, k), lda, i * step_a)
                y = self._matrix(dtype, b, (n, k) if tb else (k, n), ldb, i * step_b)
                z = self._matrix(dtype, c, (m, n), ldc, i * step_c)
                product = (x.T if ta else x) @ (y.T if tb else y)
                z[...] = z + product if add else product

        self._machine.do(work)
        return 0

    def _matrix(self, dtype, pointer, shape, ld, start):
        item = np.dtype(dtype).itemsize
        memory, buffer = self._machine.region(pointer)
        offset = pointer - memory + start * item
        return np.ndarray(shape, dtype, buffer, offset, (item, ld * item))


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)


class Pool:
    """Keeps what it has got from its device, as CuPy's does."""

    def __init__(self, machine):
        self._machine = machine
        self.limit = self.total = 0
        self.kept = {}
        self._lock = threading.RLock()  # taking one buffer may collect, that is give back, others
        weakref.finalize(self, _given_back, machine, self.kept)

    def malloc(self, size):
        with self._lock:
            return self._malloc(size)

    def _malloc(self, size):
        machine = self._machine
        rounded = -(-max(size, 1) // ROUND) * ROUND
        kept = self.kept.setdefault((machine.current, rounded), [])
        if not kept:
            if self.limit and self.total + rounded > self.limit:
                raise OutOfMemoryError(f"the limit of the pool is {self.limit}")
            if rounded > machine.free[machine.current]:
                self._give_back()
            if rounded > machine.free[machine.current]:
                raise OutOfMemoryError(f"Out of memory allocating {rounded:,} bytes")
            machine.free[machine.current] -= rounded
            self.total += rounded
            kept.append(_aligned(rounded))
        buffer = kept.pop()
        machine.graph_memory.pop(buffer.ctypes.data, None)
        # What is captured is run here too, for the shapes: on numbers that are places as well.
        buffer[:] = 0xFF if machine.capturing is None else 0
        return MemoryPointer(Memory(machine, self, buffer, size), 0)

    def take_back(self, device, buffer):
        with self._lock:
            machine = self._machine
            machine.used -= len(buffer)
            pointer = buffer.ctypes.data
            region = machine.regions.pop(pointer)
            if self is not machine.default_pool:
                machine.graph_memory[pointer] = region
            self.kept.setdefault((device, len(buffer)), []).append(buffer)

    def _give_back(self):
        self.total -= _given_back(self._machine, self.kept)

    def free_all_blocks(self):
        self._machine.wait("free_all_blocks")
        self._give_back()

    def get_limit(self):
        return self.limit

    def set_limit(self, size):
        self.limit = size

    def used_bytes(self):
        return self.total - sum(size * len(b) for (_, size), b in self.kept.items())

    def total_bytes(self):
        return self.total


def _aligned(size):
    memory = np.empty(size + ROUND, np.uint8)
    start = -memory.ctypes.data % ROUND
    return memory[start : start + size]


def _given_back(machine, kept):
    """Gives what a pool keeps back to its devices."""
    size = 0
    for (device, rounded), buffers in kept.items():
        size += rounded * len(buffers)
        machine.free[device] += rounded * len(buffers)
        for buffer in buffers:
            machine.graph_memory.pop(buffer.ctypes.data, None)
    kept.clear()
    return size


class Stream:
    def __init__(self, machine, pointer):
        self._machine, self.ptr, self.work = machine, pointer, None

    def __enter__(self):
        self._machine.streams[self._machine.current].append(self)
        return self

    def __exit__(self, *_):
        self._machine.streams[self._machine.current].pop()

    def begin_capture(self):
        self.work = self._machine.capturing = []
        self._before = set(self._machine.regions)

    def end_capture(self):
        machine, work = self._machine, self.work
        self.work = machine.capturing = None
        for pointer in set(machine.regions) - self._before:
            machine.regions[pointer][1][:] = 0xFF
        return types.SimpleNamespace(launch=lambda: machine.replay(work))

    def is_capturing(self):
        assert self.ptr > 1, "cudaErrorStreamCaptureImplicit"
        return self.work is not None

    def synchronize(self):
        self._machine.wait("synchronize")


def make(machine):
    """The module."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)  # numba-cuda-mlir looks for it

    class ndarray:  # noqa: N801
        def __init__(self, shape, dtype=float, memptr=None, strides=None):
            dtype, shape = np.dtype(dtype), (shape,) if np.ndim(shape) == 0 else tuple(shape)
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            self.data = memptr if memptr is not None else machine.allocators[-1](size)
            offset = self.data.ptr - self.data.mem.ptr
            if size:
                self._host = np.ndarray(shape, dtype, self.data.mem.buffer, offset, strides)
            else:
                self._host = np.empty(shape, dtype)
            self.base = None

        shape = property(lambda self: self._host.shape)
        dtype = property(lambda self: self._host.dtype)
        strides = property(lambda self: self._host.strides)
        ndim = property(lambda self: self._host.ndim)
        size = property(lambda self: self._host.size)
        nbytes = property(lambda self: self._host.nbytes)
        flags = property(lambda self: self._host.flags)
        device = property(lambda self: types.SimpleNamespace(id=self.data.device_id))
        T = property(lambda self: cupy.transpose(self))
        real = property(lambda self: cupy.real(self), lambda self, x: set_to(cupy.real(self), x))
        imag = property(lambda self: cupy.imag(self), lambda self, x: set_to(cupy.imag(self), x))

        __array_priority__ = 100  # numbers of NumPy leave an operation to it

        def __array__(self, *_, **__):
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")

        def get(self):
            machine.wait("get")
            return self._host.copy()

        def __bool__(self):
            return bool(self.get())

        def __float__(self):
            return float(self.get())

        def __int__(self):
            return int(self.get())

        __index__ = __int__
        __hash__ = object.__hash__

        def item(self):
            return self.get().item()

        def __len__(self):
            return len(self._host)

        def __getitem__(self, key):
            return called(np.ndarray.__getitem__, (self, key), {})

        def __setitem__(self, key, value):
            host, key, value = self._host, plain(key), plain(value)
            machine.do(lambda: host.__setitem__(key, value))

        def astype(self, dtype, copy=True):
            return called(np.ndarray.astype, (self, dtype), {"copy": True})

    def set_to(view, x):
        view[...] = x

    def plain(x):
        if isinstance(x, ndarray):
            if x.device.id != machine.current:
                raise ValueError(f"Array device must be same as the current device: {x.device.id}")
            return x._host
        if isinstance(x, np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if isinstance(x, tuple | list):
            return type(x)([plain(y) for y in x])
        return x

    def wrapped(host, operands):
        """The result as an array: a view of an operand, or in memory of its own."""
        for x in operands:
            if isinstance(x, ndarray) and host.size and np.may_share_memory(host, x._host):
                pointer = x.data + (host.__array_interface__["data"][0] - x.data.ptr)
                view = ndarray(host.shape, host.dtype, pointer, host.strides)
                view.base = x.base if x.base is not None else x
                return view, True
        out = ndarray(host.shape, host.dtype)
        out._host[...] = host
        return out, False

    def called(function, args, kwargs):
        hosts = [plain(x) for x in args]
        named = {k: plain(v) for k, v in kwargs.items()}
        result = function(*hosts, **named)
        if isinstance(result, tuple):
            return tuple([finish(function, hosts, named, args, r, i) for i, r in enumerate(result)])
        return finish(function, hosts, named, args, result, None)

    def finish(function, hosts, named, args, result, i):
        if not isinstance(result, np.ndarray | np.generic):
            return result
        out, view = wrapped(np.asarray(result), flattened(args))
        if not view and machine.capturing is not None:

            def again():
                found = function(*hosts, **named)
                out._host[...] = found if i is None else found[i]

            machine.capturing.append(again)
        return out

    def flattened(args):
        for x in args:
            if isinstance(x, tuple | list):
                yield from flattened(x)
            else:
                yield x

    def function_of(name):
        numpys = getattr(np, name)

        def function(*args, **kwargs):
            if name in CUBLAS and machine.capturing is not None:
                raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
            if name in VIEWS and name != "asarray" and not isinstance(args[0], ndarray):
                raise TypeError(f"cupy.{name} of a {type(args[0])}")
            return called(numpys, args, kwargs)

        if isinstance(numpys, np.ufunc):
            function.reduce = lambda *args, **kwargs: called(numpys.reduce, args, kwargs)
        return function

    def asarray(x, dtype=None):
        if isinstance(x, ndarray):
            return x if dtype is None or x.dtype == dtype else x.astype(dtype)
        machine.wait("asarray")
        return wrapped(np.array(x, dtype), ())[0]

    def array(x, dtype=None, order="K"):
        return asarray(x.copy() if isinstance(x, ndarray) else x, dtype)

    def asnumpy(x):
        return x.get() if isinstance(x, ndarray) else np.asarray(x)

    for (
        name
    ) in "copy reshape transpose swapaxes sum take ravel min max prod all any conj view".split():

        def method(self, *others, name=name, **kwargs):
            return called(getattr(np.ndarray, name), (self, *others), kwargs)

        setattr(ndarray, name, method)

    for operator in """add sub mul truediv floordiv mod pow radd rsub rmul rtruediv rfloordiv rmod
            rpow matmul lt le gt ge eq ne and or xor rand ror neg pos abs invert""".split():
        name = f"__{operator}__"

        def method(self, *others, name=name):
            if any(isinstance(x, np.ndarray) for x in others):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
            return called(getattr(np.ndarray, name), (self, *others), {})

        setattr(ndarray, name, method)

    for operator in "add sub mul truediv".split():
        name = f"__i{operator}__"

        def method(self, other, name=name):
            host, other = self._host, plain(other)
            machine.do(lambda: getattr(host, name)(other))
            return self

        setattr(ndarray, name, method)

    class Device:
        def __init__(self, number=None):
            self.id = machine.current if number is None else number
            self.compute_capability = "90"
            self.attributes = {"MaxSharedMemoryPerBlockOptin": 227 * 1024}
            self.cublas_handle = 1

        @property
        def mem_info(self):
            return machine.free[self.id], machine.capacity

        def synchronize(self):
            machine.wait("synchronize")

        def __enter__(self):
            self._before, machine.current = machine.current, self.id
            return self

        def __exit__(self, *_):
            machine.current = self._before

    class Function:
        ptr = 0

        def __init__(self, text):
            self._text = text

        def __call__(self, grid, block, args, shared_mem=0):
            text = self._text
            assert shared_mem <= 227 * 1024
            numbers = []
            for kind, x in zip(text.types, args, strict=True):
                if kind.endswith("*"):
                    numbers.append(pointer(kind[:-1], x))
                else:
                    assert type(x) is {"i64": np.int64}[kind], (kind, x)
                    numbers.append(x)
            assert 0 < block[0] <= 1024 and 0 < grid[0] < 1 << 31
            run = machine.runner

            def work():
                machine.launches.append((text.name, grid[0], block[0]))
                if run is not None:
                    run(text, grid[0], block[0], numbers, machine)

            machine.do(work)

        def __repr__(self):
            return f"<kernel {self._text.name}>"

    def pointer(kind, x):
        if type(x) is np.uint64:
            return int(x)
        assert isinstance(x, ndarray), x
        assert kind == {
            "f4": "f32", "f8": "f64", "i4": "i32", "i8": "i64", "b1": "b1", "f2": "f16",
            "V2": "bf16",
        }[x.dtype.str[1:]]  # fmt: skip
        assert x.flags.c_contiguous and x.device.id == machine.current
        return x.data.ptr

    class Module:
        def load(self, binary):
            assert type(binary) is bytes
            self._text = pickle.loads(binary)

        def get_function(self, name):
            assert name == self._text.name
            return Function(self._text)

    class Event:
        """By the host's clock: work is done when it is asked for."""

        def record(self):
            self.at = time.perf_counter()

        def synchronize(self):
            machine.wait("synchronize")

    @contextmanager
    def using_allocator(allocator):
        machine.allocators.append(allocator)
        try:
            yield
        finally:
            machine.allocators.pop()

    count = iter(range(10, 1 << 30))
    pool = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        get_elapsed_time=lambda start, end: (end.at - start.at) * 1e3,
        MemoryPool=lambda: Pool(machine),
        MemoryPointer=MemoryPointer,
        UnownedMemory=lambda *args: UnownedMemory(machine, *args),
        Stream=lambda non_blocking=False: Stream(machine, next(count)),
        function=types.SimpleNamespace(Module=Module),
        driver=types.SimpleNamespace(
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8,
            funcSetAttribute=lambda function, attribute, value: None,
        ),
        get_current_stream=machine.current_stream,
        memory=pool,
        runtime=types.SimpleNamespace(
            getDevice=lambda: machine.current,
            getDeviceCount=lambda: len(machine.free),
            runtimeGetVersion=lambda: 13000,
            profilerStart=lambda: None,
            profilerStop=lambda: None,
        ),
        using_allocator=using_allocator,
    )

    def of_scipy(name, *args):
        return called(getattr(scipy.special, name), args, {})

    cupy.ndarray, cupy.array, cupy.asarray, cupy.asnumpy = ndarray, array, asarray, asnumpy
    cupy.empty = lambda shape, dtype=float: ndarray(shape, dtype)
    cupy.is_available = lambda: True
    cupy.get_default_memory_pool = lambda: machine.default_pool
    cupy.ascontiguousarray = lambda x: x if x.flags.c_contiguous else x.copy()
    cupy.machine = machine

    def of_library(theirs, names, check=lambda *args, **kwargs: None):
        """A module with these functions of another one."""

        def function_named(name):
            def function(*args, **kwargs):
                check(*args, **kwargs)
                return called(getattr(theirs, name), args, kwargs)

            return function

        return types.SimpleNamespace(**{name: function_named(name) for name in names.split()})

    def check_type(x, type=2, n=None, axis=-1, norm=None, overwrite_x=False):
        if type not in (2, 3):
            raise NotImplementedError("Only DCT-II and DCT-III have been implemented.")

    cupy.fft = of_library(np.fft, "fft ifft rfft irfft fftn ifftn rfftn irfftn")
    cupy.scipy_fft = of_library(scipy.fft, "dct dst", check_type)
    cupy.scipy_signal = of_library(scipy.signal, "convolve correlate lfilter")

    def check_matrix(a, *args, **kwargs):
        if a.ndim != 2:
            raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. It must be 2-dim.")

    names = "cholesky det eig eigh eigvals eigvalsh inv norm pinv svd"
    one_by_one = of_library(np.linalg, "qr", check_matrix)
    cupy.linalg = of_library(np.linalg, names)
    cupy.linalg.qr = one_by_one.qr
    cupy.linalg.cholesky = lambda a: called(_partial_cholesky, (a,), {})
    cupy.scipy_linalg = of_library(scipy.linalg, "lu_factor expm", check_matrix)
    cupy.scipy_linalg.solve_triangular = lambda *args, **kwargs: called(
        functools.partial(scipy.linalg.solve_triangular, check_finite=False), args, kwargs
    )

    def lookup_special(name):
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(of_scipy, name)

    def lookup(name):
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(np, name)
        value = function_of(name) if callable(found) and not isinstance(found, type) else found
        setattr(cupy, name, value)
        return value

    cupy.__getattr__ = lookup
    cupy.special = types.ModuleType("cupyx.scipy.special")
    cupy.special.__getattr__ = lookup_special
    return cupy


def _partial_cholesky(a):
    """As cuSOLVER: of a matrix that is not positive definite it leaves what it has computed, and
    nobody is told."""
    out = np.tril(a)
    for i in np.ndindex(a.shape[:-2]):
        out[i] = scipy.linalg.lapack.get_lapack_funcs("potrf", (a,))(a[i], lower=1)[0]
    return np.tril(out)


def with_peak(cupy, call):
    """The result of a call, and the most memory that was in use beside what was there."""
    gc.collect(1)  # what the last calls left; in a long test run all objects take a second
    machine = cupy.machine
    before = machine.peak = machine.used
    found = call()
    return found, machine.peak - before


def installed(monkeypatch, **machine):
    """A pretended CuPy where the program looks for CuPy, with its compiler."""
    cupy = make(Machine(**machine))
    cupy.cublas = Cublas(cupy.machine)
    monkeypatch.setattr(cublas, "library", lambda: cupy.cublas)
    scipys = types.SimpleNamespace(
        special=cupy.special,
        fft=cupy.scipy_fft,
        signal=cupy.scipy_signal,
        linalg=cupy.scipy_linalg,
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", types.SimpleNamespace(scipy=scipys))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", scipys)
    for name, module in vars(scipys).items():
        monkeypatch.setitem(sys.modules, f"cupyx.scipy.{name}", module)
    monkeypatch.setattr(toolchain, "available", lambda: True)
    monkeypatch.setattr(compile_cache, "load", _compiled)
    for cached in (launch.device, launch._function):
        cached.cache_clear()
    return cupy


def _compiled(kernel, capability):
    return Binary(pickle.dumps(kernel), Resources(32, 0, 0, 0))
