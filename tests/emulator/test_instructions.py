"""What single instructions compute, by the PTX ISA's words; no compiler is needed."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from emulator.launching import kinds, launch
from emulator.machine import Fault
from emulator.parse import PTXError

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"
REGISTERS = (
    ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<8>; .reg .b64 %d<8>; .reg .f32 %f<8>; "
    ".reg .f64 %g<8>; .reg .b64 %at<8>;"
)
LETTERS = {"pred": "p", "16": "h", "32": "r", "64": "d", "f32": "f", "f64": "g"}
INF, NAN = math.inf, math.nan


def register(t, k):
    return f"%{LETTERS.get(t) or LETTERS[t[1:]]}{k}"


def dtype_of(t):
    return np.dtype(f"{'u' if t[0] == 'b' else t[0].replace('s', 'i')}{int(t[1:]) // 8}")


def kernel(arrays, body):
    """PTX with so many pointers; %at1 ... are their addresses at this thread's 8 bytes."""
    params = ", ".join(f".param .u64 k_{i}" for i in range(arrays))
    lines = ["mov.u32 %r7, %tid.x;", "mul.wide.u32 %at0, %r7, 8;"]
    for i in range(arrays):
        lines += [f"ld.param.u64 %at{i + 1}, [k_{i}];", f"add.s64 %at{i + 1}, %at{i + 1}, %at0;"]
    text = "\n".join([*lines, *body, "ret;"])
    return f"{HEADER}.visible .entry k({params})\n{{\n{REGISTERS}\n{text}\n}}\n"


def cells(x):
    """Numbers with 8 bytes for each, and a view of the numbers."""
    x = np.asarray(x)
    out = np.zeros((len(x), 8 // x.itemsize), x.dtype)
    out[:, 0] = x
    return out, out[:, 0]


def computed(lines, types, result, *operands):
    """Results of instructions on operands, a thread for each: operand k is in register k + 1 of
    its type, the result in register 0."""
    given = [cells(np.array(x, dtype_of(t))) for x, t in zip(operands, types, strict=True)]
    stored = "b32" if result == "pred" else result
    out, numbers = cells(np.zeros(len(given[0][1]), dtype_of(stored)))
    body = [f"ld.global.{t} {register(t, k + 1)}, [%at{k + 2}];" for k, t in enumerate(types)]
    body += [*lines, "selp.b32 %r0, 1, 0, %p0;"] if result == "pred" else lines
    body.append(f"st.global.{stored} [%at1], {register(stored, 0)};")
    launch(kernel(len(given) + 1, body), 1, len(numbers), out, *[x for x, _ in given])
    return numbers


def one(op, types, result, *operands):
    registers = [register(t, k + 1) for k, t in enumerate(types)]
    line = f"{op} {register(result, 0)}, {', '.join(registers)};"
    return computed([line], types, result, *operands)


TOP = 1 << 31
CASES = [
    # Past the width a shift gives 0, or the sign.
    ("shl.b32", ("b32", "u32"), "b32", ([1, 1, 3], [31, 32, 300]), [TOP, 0, 0]),
    ("shr.u32", ("u32", "u32"), "u32", ([TOP, TOP, TOP], [31, 32, 300]), [1, 0, 0]),
    ("shr.s32", ("s32", "u32"), "s32", ([-8, -8, 8], [1, 32, 300]), [-4, -1, 0]),
    ("shr.s64", ("s64", "u32"), "s64", ([-(1 << 40), 5], [38, 64]), [-4, 0]),
    # Toward zero; by zero all bits.
    ("div.s64", ("s64",) * 2, "s64", ([7, -7, 7, -7, 5], [2, 2, -2, -2, 0]), [3, -3, -3, 3, -1]),
    ("rem.s64", ("s64",) * 2, "s64", ([7, -7, 7, -7], [2, 2, -2, -2]), [1, -1, 1, -1]),
    ("div.u32", ("u32",) * 2, "u32", ([7, TOP + 1, 5], [2, 2, 0]), [3, TOP >> 1, 2**32 - 1]),
    ("mul.wide.s32", ("s32",) * 2, "s64", ([-(2**31), 3], [2**31 - 1, -4]),
     [-(2**31) * (2**31 - 1), -12]),
    ("mul.hi.u32", ("u32",) * 2, "u32", ([2**32 - 1, 5], [2**32 - 1, 5]), [2**32 - 2, 0]),
    ("mul.hi.s64", ("s64",) * 2, "s64", ([-(2**63), -1, 2**40], [2**62, 1, 2**40]),
     [-(2**61), -1, 2**16]),
    ("mul.lo.s32", ("s32",) * 2, "s32", ([2**30, -3], [4, 5]), [0, -15]),
    ("neg.s32", ("s32",), "s32", ([5, -(2**31)],), [-5, -(2**31)]),
    ("abs.s32", ("s32",), "s32", ([5, -6],), [5, 6]),
    ("min.s64", ("s64",) * 2, "s64", ([-1, 3], [1, 2]), [-1, 2]),
    ("min.u64", ("u64",) * 2, "u64", ([2**64 - 1, 3], [1, 2]), [1, 2]),
    ("clz.b64", ("b64",), "u32", ([0, 1, 1 << 63],), [64, 63, 0]),
    ("popc.b64", ("b64",), "u32", ([0, 7, 2**64 - 1],), [0, 3, 64]),
    ("popc.b32", ("b32",), "u32", ([0, 5, 2**32 - 1],), [0, 2, 32]),
    ("not.b32", ("b32",), "b32", ([0, 5],), [2**32 - 1, 2**32 - 6]),
    # Of a number and a NaN the number.
    ("max.f32", ("f32",) * 2, "f32", ([NAN, 1, 2, NAN], [3, NAN, 1, NAN]), [3, 1, 2, NAN]),
    ("min.NaN.f32", ("f32",) * 2, "f32", ([NAN, 1, 2], [3, NAN, 1]), [NAN, NAN, 1]),
    # The sign of the first, the magnitude of the second.
    ("copysign.f32", ("f32",) * 2, "f32", ([-0.0, 2], [3, -4]), [-3, 4]),
    ("add.ftz.f32", ("f32",) * 2, "f32", ([1e-40, 1], [1e-40, 2]), [0, 3]),
    ("cvt.sat.f32.f32", ("f32",), "f32", ([NAN, -1, 0.25, 7],), [0, 0, 0.25, 1]),
    # To an integer: held to its range; a NaN is 0, of 64 bits the top bit.
    ("cvt.rni.s32.f32", ("f32",), "s32", ([2.5, -3.5, 1e20, -1e20, NAN],),
     [2, -4, 2**31 - 1, -(2**31), 0]),
    ("cvt.rzi.u32.f32", ("f32",), "u32", ([2.9, -3, 5e9],), [2, 0, 2**32 - 1]),
    ("cvt.rmi.s64.f64", ("f64",), "s64", ([-2.5, 1e300, NAN],), [-3, 2**63 - 1, -(2**63)]),
    ("cvt.rpi.f32.f32", ("f32",), "f32", ([-2.5, 2.5],), [-2, 3]),
    ("cvt.rn.f32.s64", ("s64",), "f32", ([2**24 + 1, -7],), [2**24, -7]),
    ("cvt.s64.s32", ("s32",), "s64", ([-5, 6],), [-5, 6]),
    ("cvt.u64.u32", ("u32",), "u64", ([2**32 - 5],), [2**32 - 5]),
    ("cvt.u32.u64", ("u64",), "u32", ([2**40 + 3],), [3]),
    ("cvt.rn.f32.f64", ("f64",), "f32", ([1 + 2**-30, 1e300],), [1, INF]),
    ("sqrt.rn.f32", ("f32",), "f32", ([2, -1],), [np.sqrt(np.float32(2)), NAN]),
    ("ex2.approx.ftz.f32", ("f32",), "f32", ([3, -200],), [8, 0]),
    ("lg2.approx.f32", ("f32",), "f32", ([8, 0],), [3, -INF]),
    ("rcp.rn.f32", ("f32",), "f32", ([4, 0],), [0.25, INF]),
    ("rsqrt.approx.f64", ("f64",), "f64", ([4, 0],), [0.5, INF]),
    # Of the upper half of a float64.
    ("rcp.approx.ftz.f64", ("f64",), "f64", ([3, 4 + 2**-40],),
     [struct.unpack("d", struct.pack("Q", 0x3FD5555500000000))[0], 0.25]),
    ("div.rn.f64", ("f64",) * 2, "f64", ([1, 1], [3, 0]), [1 / 3, INF]),
    # An unordered comparison holds where there is a NaN.
    ("setp.lt.f32", ("f32",) * 2, "pred", ([1, 2, NAN], [2, 1, 1]), [1, 0, 0]),
    ("setp.ne.f32", ("f32",) * 2, "pred", ([1, 2, NAN], [2, 2, 1]), [1, 0, 0]),
    ("setp.neu.f32", ("f32",) * 2, "pred", ([1, 2, NAN], [2, 2, 1]), [1, 0, 1]),
    ("setp.ltu.f32", ("f32",) * 2, "pred", ([1, 2, NAN], [2, 1, 1]), [1, 0, 1]),
    ("setp.geu.f64", ("f64",) * 2, "pred", ([1, 2, NAN], [2, 1, 1]), [0, 1, 1]),
    ("setp.nan.f32", ("f32",) * 2, "pred", ([1, NAN], [1, 1]), [0, 1]),
    ("setp.num.f32", ("f32",) * 2, "pred", ([1, NAN], [1, 1]), [1, 0]),
    ("setp.gt.s32", ("s32",) * 2, "pred", ([-1, 5], [1, 4]), [0, 1]),
    ("setp.gt.u32", ("u32",) * 2, "pred", ([2**32 - 1, 3], [1, 4]), [1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "types", "result", "operands", "expected"), CASES, ids=[x[0] for x in CASES]
)
def test_an_instruction(op, types, result, operands, expected):
    got = one(op, types, result, *operands)
    expected = np.array(expected).astype(got.dtype)
    assert np.array_equal(got, expected, equal_nan=got.dtype.kind == "f")


def directed(exact, way):
    """A fraction as float32, rounded down (m), up (p) or to zero (z)."""
    t = np.float32(exact)
    while Fraction(float(t)) > exact:
        t = np.nextafter(t, np.float32(-INF))
    while Fraction(float(np.nextafter(t, np.float32(INF)))) <= exact:
        t = np.nextafter(t, np.float32(INF))
    up = Fraction(float(t)) != exact and (way == "p" or (way == "z" and exact < 0))
    return np.nextafter(t, np.float32(INF)) if up else t


@pytest.mark.parametrize("op", ["fma.rm.f32", "fma.rz.f32", "fma.rn.f32", "fma.rn.f64"])
def test_sums_of_products_are_rounded_once(op):
    _, way, t = op.split(".")
    rng = np.random.default_rng(3)
    a, b, c = [(rng.standard_normal(200) * 10.0 ** rng.integers(-6, 6, 200)) for _ in range(3)]
    a, b, c = [x.astype(dtype_of(t)) for x in (a, b, c)]
    c[:50] = -(a * b)[:50]  # what is left is the error of the product
    got = one(op, (t,) * 3, t, a, b, c)
    whole = [[Fraction(float(v)) for v in x] for x in (a, b, c)]
    exact = [x * y + z for x, y, z in zip(*whole, strict=True)]
    nearest = dtype_of(t).type
    expected = [nearest(float(x)) if way == "rn" else directed(x, way[1]) for x in exact]
    assert got.tolist() == [float(x) for x in expected]


def test_carries_go_on():
    """A product of 64 bits made of words, as libdevice reduces large angles."""
    a, b = 0xFEDCBA9876543210, 0x0123456789ABCDEF
    split = [[x & 0xFFFFFFFF] if k == 0 else [x >> 32] for x in (a, b) for k in range(2)]
    lines = [
        "mul.lo.u32 %r5, %r1, %r3;",
        "mul.hi.u32 %r6, %r1, %r3;",
        "mad.lo.cc.u32 %r6, %r2, %r3, %r6;",
        "madc.hi.u32 %r0, %r2, %r3, 0;",
        "mad.lo.cc.u32 %r6, %r1, %r4, %r6;",
        "madc.hi.cc.u32 %r0, %r1, %r4, %r0;",
        "addc.u32 %r7, 0, 0;",
        "mad.lo.cc.u32 %r0, %r2, %r4, %r0;",
        "madc.hi.u32 %r7, %r2, %r4, %r7;",
        "mov.b64 %d0, {%r0, %r7};",
    ]
    (got,) = computed(lines, ("u32",) * 4, "b64", *split)
    assert int(got) == a * b >> 64


def test_borrows_go_on():
    lines = [
        "mov.b64 {%r1, %r2}, %d1;", "mov.b64 {%r3, %r4}, %d2;",
        "sub.cc.u32 %r5, %r1, %r3;", "subc.u32 %r6, %r2, %r4;", "mov.b64 %d0, {%r5, %r6};",
    ]  # fmt: skip
    a, b = [5 << 32, 1 << 40], [6, (1 << 40) - 3]
    assert computed(lines, ("b64",) * 2, "b64", a, b).tolist() == [(5 << 32) - 6, 3]


def test_bits_are_put_in():
    lines = ["bfi.b64 %d0, %d1, %d2, 8, 4;"]
    got = computed(lines, ("b64",) * 2, "b64", [0xFF, 2], [0, 2**64 - 1])
    assert got.tolist() == [0xF00, 2**64 - 1 - 0xD00]


def test_predicates_choose():
    lines = [
        "setp.lt.u32 %p1, %r1, 5;", "setp.gt.or.u32 %p2, %r1, 7, %p1;", "mov.u32 %r0, 100;",
        "@%p1 mov.u32 %r0, 200;", "@!%p2 add.u32 %r0, %r0, %r1;", "xor.pred %p3, %p1, %p2;",
        "selp.b32 %r2, 1000, 0, %p3;", "add.u32 %r0, %r0, %r2;",
    ]  # fmt: skip
    got = computed(lines, ("u32",), "u32", range(10))
    assert got.tolist() == [200] * 5 + [105, 106, 107, 1100, 1100]


def test_vectors_and_local_and_generic_addresses():
    text = """.local .align 16 .b8 own[16]; .shared .align 16 .b8 common[512];
    mov.u64 %d1, own; cvta.local.u64 %d1, %d1; mov.u64 %d2, common; cvta.shared.u64 %d2, %d2;
    add.s64 %d2, %d2, %at0; ld.global.v2.f32 {%f1, %f2}, [%at2];
    st.v2.f32 [%d1+8], {%f2, %f1}; ld.local.b64 %d3, [own+8]; st.b64 [%d2], %d3;
    bar.sync 0; ld.b64 %d4, [%d2]; st.global.b64 [%at1], %d4;"""
    x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    report = launch(kernel(2, [text]), 1, 32, out, x)
    assert np.array_equal(out.reshape(-1, 2), x.reshape(-1, 2)[:, ::-1])
    assert not report.findings


def test_a_misaligned_access():
    text = kernel(1, ["ld.global.f32 %f1, [%at1+2];", "st.global.f32 [%at1], %f1;"])
    with pytest.raises(Fault, match="block 0, thread 0: misaligned access"):
        launch(text, 1, 1, np.ones(4, np.float32))


def test_barriers_at_different_places():
    body = [
        "setp.lt.u32 %p1, %r7, 32;", "@%p1 bra FIRST;", "bar.sync 0;", "bra.uni END;",
        "FIRST:", "bar.sync 0;", "END:", "st.global.u32 [%at1], %r7;",
    ]  # fmt: skip
    report = launch(kernel(1, body), 1, 64, np.zeros(128, np.uint32))
    assert kinds(report) == {"barrier at different places"}


def test_functions_are_put_in_the_place_of_their_calls():
    text = (
        HEADER
        + """
    .func (.param .b32 out) twice(.param .b32 x)
    { .reg .b32 %r<3>; .reg .pred %p<2>;
      ld.param.u32 %r1, [x]; setp.gt.u32 %p1, %r1, 3; @%p1 bra LARGE;
      add.u32 %r1, %r1, %r1; st.param.b32 [out], %r1; ret;
      LARGE: mov.u32 %r2, 0; st.param.b32 [out], %r2; ret; }
    .visible .entry k(.param .u64 k_0)
    { .reg .b32 %r<3>; .reg .b64 %d<4>;
      ld.param.u64 %d1, [k_0]; mov.u32 %r1, %tid.x; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2;
      { .param .b32 p0; .param .b32 r0; st.param.b32 [p0], %r1;
        call.uni (r0), twice, (p0); ld.param.b32 %r2, [r0]; }
      st.global.u32 [%d1], %r2; exit; }
    """
    )
    out = np.zeros(6, np.uint32)
    launch(text, 1, 6, out)
    assert out.tolist() == [0, 2, 4, 6, 0, 0]


def test_an_instruction_that_is_not_known_is_named():
    with pytest.raises(PTXError, match=r"line \d+: tanh\.approx\.f32 %f0, %f1"):
        one("tanh.approx.f32", ("f32",), "f32", [1.0])
