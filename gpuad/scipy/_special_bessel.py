"""Of `scipy.special`: the Bessel functions, of real order and variable."""

import numpy as np

from gpuad.numpy._arguments import alias
from gpuad.primitives import bessel as b
from gpuad.scipy._elementwise import ufunc
from gpuad.tracing.registry import NUMPY

j0 = ufunc("j0", b.j0, 1, "J₀(x), the Bessel function of order 0.", "j0(1.0) -> 0.765198")
j1 = ufunc("j1", b.j1, 1, "J₁(x), the Bessel function of order 1.", "j1(1.0) -> 0.440051")
y0 = ufunc("y0", b.y0, 1, "Y₀(x), of the second kind and order 0.", "y0(1.0) -> 0.088257")
y1 = ufunc("y1", b.y1, 1, "Y₁(x), of the second kind and order 1.", "y1(1.0) -> -0.781213")
i0 = ufunc("i0", b.i0, 1, "I₀(x), the modified Bessel function of order 0.", "i0(1.0) -> 1.266066")
NUMPY[np.i0] = i0
i1 = ufunc("i1", b.i1, 1, "I₁(x), the modified Bessel function of order 1.", "i1(1.0) -> 0.565159")
k0 = ufunc("k0", b.k0, 1, "K₀(x), of the second kind and order 0.", "k0(1.0) -> 0.421024")
k1 = ufunc("k1", b.k1, 1, "K₁(x), of the second kind and order 1.", "k1(1.0) -> 0.601907")
k0e = ufunc("k0e", b.k0e, 1, "exp(x) K₀(x).", "k0e(1000.0) -> 0.039628")
k1e = ufunc("k1e", b.k1e, 1, "exp(x) K₁(x).", "k1e(1000.0) -> 0.039648")
jv = ufunc(
    "jv", b.jv, 2,
    "Jᵥ(x), the Bessel function of real order v; not differentiated by v.",
    "jv(0.5, 1.0) -> 0.671397",
)  # fmt: skip
jn = alias("scipy.special.jn", jv)
yv = ufunc(
    "yv", b.yv, 2,
    "Yᵥ(x), of the second kind and real order v; not differentiated by v.",
    "yv(0.5, 1.0) -> -0.431099",
)  # fmt: skip
yn = ufunc("yn", b.yn, 2, "Yₙ(x), of whole order n.", "yn(2, 1.0) -> -1.650683")
iv = ufunc(
    "iv", b.iv, 2,
    "Iᵥ(x), the modified Bessel function of real order v; not differentiated by v.",
    "iv(0.5, 1.0) -> 0.937675",
)  # fmt: skip
kv = ufunc(
    "kv", b.kv, 2,
    "Kᵥ(x), of the second kind and real order v; differentiated by v too.",
    "kv(0.5, 1.0) -> 0.461069",
)  # fmt: skip
kn = ufunc("kn", b.kn, 2, "Kₙ(x), of whole order n.", "kn(2, 1.0) -> 1.624839")
ive = ufunc(
    "ive", b.ive, 2,
    "exp(-|x|) Iᵥ(x), with derivatives that do not cancel for large x.",
    "ive(0.5, 1000.0) -> 0.012616",
)  # fmt: skip
kve = ufunc(
    "kve", b.kve, 2,
    "exp(x) Kᵥ(x), with derivatives, by v too, that do not cancel for large x.",
    "kve(0.5, 1000.0) -> 0.039633",
)  # fmt: skip
