"""The lines of random programs that take matrices apart and solve linear systems.

Matrices are chosen, or made, so that they are well-conditioned and their eigenvalues and singular
values stay apart: a difference is then a fault. Of what is known up to signs or phases only
expressions are written that do not depend on those.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from executors.program_steps import CATALOGUE, step

if TYPE_CHECKING:
    from executors.programs import Author

GAP = 0.2
"""How far eigenvalues and singular values are from each other."""


def matrices(x: Any) -> bool:
    return np.ndim(x) > 1


def square(x: Any) -> bool:
    return np.ndim(x) > 1 and np.shape(x)[-1] == np.shape(x)[-2] <= 6


def conditioned(x: Any) -> bool:
    return square(x) and bool(np.all(np.linalg.cond(x) < 30))


def separate(x: Any) -> bool:
    return bool(np.all(np.abs(np.diff(np.sort(x, axis=-1), axis=-1)) > GAP))


def separate_eigenvalues(x: Any) -> bool:
    values = np.linalg.eigvals(x)
    gaps = np.abs(values[..., :, None] - values[..., None, :]) + np.eye(values.shape[-1])
    vectors = np.linalg.cond(np.linalg.eig(x)[1])
    return bool(np.all(gaps > GAP) and np.all(vectors < 20))


def separate_singular(x: Any) -> bool:
    if min(np.shape(x)[-2:]) > 6:
        return False
    values = np.linalg.svd(x, compute_uv=False)
    return separate(values) and bool(np.all(values > GAP))


def prepared(a: "Author", forms: list[str], condition: Callable[[Any], bool]) -> str | None:
    """The name of a matrix of one of these forms for which the condition holds."""
    name = a.array(square, a.choice(["f", "f", "fc"]))
    if not name:
        return None
    n = a.shape(name)[-1]
    text = a.choice(forms).format(name, n)
    if text != name:
        made = a.let(text)
        name = made or name
    return name if condition(a.known[name]) else None


def right_side(a: "Author", matrix: str) -> str:
    """The text of matrices with as many rows as this one, of its batch."""
    x = a.known[matrix]
    n = x.shape[-1]
    found = a.array(
        lambda v: np.ndim(v) == x.ndim and v.shape[-2] == n and v.shape[:-2] == x.shape[:-2], "fc"
    )
    if found and a.chance(70):
        return found
    return a.numbers((*(x.shape[:-2] if x.size < 50 else (1,) * (x.ndim - 2)), n, a.choice([1, 2])))


GENERAL = ["{0}", "{0} + 4.0 * np.eye({1})", "0.3 * {0} + 2.0 * np.eye({1})"]
SYMMETRIC = [
    "{0} + xp.conj({0}).mT",
    "{0} + xp.conj({0}).mT + 3.0 * np.diag(np.arange({1}))",
    "0.3 * ({0} + xp.conj({0}).mT) + np.diag(np.arange({1}))",
]
POSITIVE = [
    "{0} @ xp.conj({0}).mT + np.eye({1})",
    "{0} @ xp.conj({0}).mT + 0.5 * np.eye({1})",
    "0.2 * ({0} + xp.conj({0}).mT) + 4.0 * np.eye({1})",
]

OF_GENERAL = (
    "xp.linalg.inv({0})|xp.linalg.det({0})|xp.linalg.slogdet({0})[1]|xp.linalg.slogdet({0})[0]|"
    "xp.linalg.matrix_power({0}, 3)|xp.linalg.matrix_power({0}, -1)|"
    "xp.linalg.matrix_power({0}, -2)|"
    "xp.linalg.matrix_power({0}, 0)|xp.linalg.pinv({0})|sp.linalg.inv({0})|sp.linalg.det({0})|"
    "xp.trace(xp.linalg.inv({0}), axis1=-2, axis2=-1)|{0} @ xp.linalg.inv({0} + {0})|"
    "xp.linalg.det({0}) * xp.linalg.slogdet({0})[1]|xp.linalg.norm({0}, axis=(-2, -1))|"
    "sp.linalg.expm(0.2 * {0})|sp.linalg.expm({0})|xp.linalg.matrix_norm({0})|"
    "xp.linalg.multi_dot([{0}, {0}, {0}])|xp.linalg.svdvals(xp.linalg.inv({0}) + {0})[..., 0]"
).split("|")
SOLVING = (
    "xp.linalg.solve({0}, {1})|xp.linalg.solve({0}, {1})|xp.linalg.solve({0}.mT, {1})|"
    "xp.linalg.solve(xp.conj({0}).mT, {1})|sp.linalg.solve({0}, {1})|"
    "sp.linalg.lu_solve(sp.linalg.lu_factor({0}), {1})|"
    "sp.linalg.lu_solve(sp.linalg.lu_factor({0}), {1}, trans=1)|"
    "sp.linalg.lu_solve(sp.linalg.lu_factor({0}), {1}, trans=2)|"
    "xp.linalg.inv({0}) @ {1}|xp.linalg.pinv({0}) @ {1}|"
    "xp.linalg.solve({0}, {1}) * xp.linalg.det({0})[..., None, None]|"
    "xp.linalg.solve({0}, xp.linalg.solve({0}, {1}))"
).split("|")
TRIANGULAR = (
    "sp.linalg.solve_triangular({0}, {1})|sp.linalg.solve_triangular({0}, {1}, lower=True)|"
    "sp.linalg.solve_triangular({0}, {1}, trans=1)|"
    "sp.linalg.solve_triangular({0}, {1}, lower=True, trans='T')|"
    "sp.linalg.solve_triangular({0}, {1}, lower=True, trans=2)|"
    "sp.linalg.solve_triangular({0}, {1}, unit_diagonal=True)|"
    "sp.linalg.solve_triangular({0}, {1}, lower=True, unit_diagonal=True)|"
    "xp.linalg.solve(xp.triu({0}), {1})|xp.linalg.inv(xp.tril({0})) @ {1}"
).split("|")
OF_POSITIVE = (
    "xp.linalg.cholesky({0})|xp.linalg.cholesky({0}, upper=True)|xp.linalg.slogdet({0})[1]|"
    "sp.linalg.cholesky({0}, lower=True)|sp.linalg.cholesky({0})|xp.linalg.inv({0})|"
    "xp.sum(xp.log(xp.real(xp.diagonal(xp.linalg.cholesky({0}), axis1=-2, axis2=-1))), axis=-1)|"
    "xp.linalg.solve({0}, {1})|sp.linalg.cho_solve(sp.linalg.cho_factor({0}), {1})|"
    "sp.linalg.cho_solve(sp.linalg.cho_factor({0}, lower=True), {1})|"
    "sp.linalg.cho_solve((xp.linalg.cholesky({0}), True), {1})|"
    "sp.linalg.solve({0}, {1}, assume_a='pos')|"
    "sp.linalg.solve_triangular(xp.linalg.cholesky({0}), {1}, lower=True)|"
    "xp.sum(xp.real(xp.conj({1}) * xp.linalg.solve({0}, {1})), axis=(-2, -1))"
).split("|")
OF_SYMMETRIC = (
    "xp.linalg.eigvalsh({0})|xp.linalg.eigh({0})[0]|xp.linalg.eigvalsh({0}, UPLO='U')|"
    "xp.abs(xp.linalg.eigh({0})[1]) ** 2|xp.real(xp.linalg.eigh({0})[1][..., 0] * "
    "xp.conj(xp.linalg.eigh({0})[1][..., 0]))|"
    "(xp.linalg.eigh({0})[1] * xp.sin(xp.linalg.eigh({0})[0])[..., None, :]) @ "
    "xp.conj(xp.linalg.eigh({0})[1]).mT|"
    "(xp.linalg.eigh({0})[1][..., :1] @ xp.conj(xp.linalg.eigh({0})[1][..., :1]).mT)|"
    "sp.linalg.eigh({0})[0]|sp.linalg.eigh({0}, eigvals_only=True)|"
    "xp.sum(xp.exp(0.2 * xp.linalg.eigvalsh({0})), axis=-1)|xp.linalg.slogdet({0})[1]"
).split("|")
OF_SEPARATE = (
    "xp.sum(xp.exp(0.3 * xp.linalg.eigvals({0})), axis=-1) + 0j|"
    "xp.sum(xp.cos(xp.linalg.eig({0})[0]), axis=-1) + 0j|"
    "xp.prod(xp.linalg.eigvals({0}) + 1.0, axis=-1) + 0j|"
    "(xp.linalg.eig({0})[1] * xp.exp(0.3 * xp.linalg.eig({0})[0])[..., None, :]) @ "
    "xp.linalg.inv(xp.linalg.eig({0})[1]) + 0j"
).split("|")  # complex, also where NumPy's eigenvalues of these values are real
OF_SINGULAR = (
    "xp.linalg.svd({0}, compute_uv=False)|xp.linalg.svdvals({0})|"
    "xp.abs(xp.linalg.svd({0}, full_matrices=False)[0]) ** 2|"
    "xp.abs(xp.linalg.svd({0}, full_matrices=False)[2]) ** 2|"
    "(xp.linalg.svd({0}, full_matrices=False)[0] * "
    "xp.sin(xp.linalg.svdvals({0}))[..., None, :]) @ xp.linalg.svd({0}, full_matrices=False)[2]|"
    "xp.linalg.norm({0}, ord='nuc', axis=(-2, -1))|xp.linalg.norm({0}, ord=2, axis=(-2, -1))|"
    "xp.linalg.norm({0}, ord=-2, axis=(-2, -1))|xp.linalg.cond({0})|xp.linalg.pinv({0})|"
    "sp.linalg.svd({0}, compute_uv=False)|xp.linalg.matrix_norm({0}, ord='nuc')|"
    "xp.linalg.norm({0}, ord='fro', axis=(-2, -1))|xp.linalg.pinv({0}) @ {0} @ {0}.mT"
).split("|")
OF_TALL = (
    "xp.abs(xp.linalg.qr({0})[0]) ** 2|xp.abs(xp.linalg.qr({0})[1]) ** 2|"
    "xp.linalg.qr({0})[0] @ xp.linalg.qr({0})[1]|xp.abs(xp.linalg.qr({0}, mode='r')) ** 2|"
    "xp.linalg.qr({0})[0] @ xp.conj(xp.linalg.qr({0})[0]).mT"
).split("|")
ALONE = ("sp.linalg.", "multi_dot")
"""Of these SciPy's own take no batches, or did not always."""


def has_place(text: str, x: Any) -> bool:
    return x.ndim == 2 or not any(word in text for word in ALONE)


@step(8, CATALOGUE)
def general(a: "Author") -> str | None:
    name = prepared(a, GENERAL, conditioned)
    text = a.choice(OF_GENERAL)
    return text.format(name) if name and has_place(text, a.known[name]) else None


def with_right_side(a: "Author", text: str, name: str | None) -> str | None:
    """A text of a matrix and a right-hand side for it."""
    if not name or not has_place(text, a.known[name]):
        return None
    return text.format(name, right_side(a, name))


@step(10, CATALOGUE)
def solution(a: "Author") -> str | None:
    name = prepared(a, GENERAL, conditioned)
    text = a.choice(SOLVING)
    return with_right_side(a, text, name)


@step(5, CATALOGUE)
def triangular(a: "Author") -> str | None:
    name = prepared(a, GENERAL[1:], lambda x: conditioned(np.triu(x)) and conditioned(np.tril(x)))
    text = a.choice(TRIANGULAR)
    return with_right_side(a, text, name)


@step(10, CATALOGUE)
def positive_definite(a: "Author") -> str | None:
    name = prepared(a, POSITIVE, conditioned)
    text = a.choice(OF_POSITIVE)
    return with_right_side(a, text, name)


@step(7, CATALOGUE)
def symmetric(a: "Author") -> str | None:
    name = prepared(a, SYMMETRIC, lambda x: separate(np.linalg.eigvalsh(x)))
    text = a.choice(OF_SYMMETRIC)
    if not name or not has_place(text, a.known[name]):
        return None
    return text.format(name) if "slogdet" not in text or conditioned(a.known[name]) else None


@step(3, CATALOGUE)
def eigenvalues(a: "Author") -> str | None:
    name = prepared(a, [*GENERAL, "{0} + np.diag(np.arange({1}))"], separate_eigenvalues)
    return name and a.choice(OF_SEPARATE).format(name)


@step(6, CATALOGUE)
def singular_values(a: "Author") -> str | None:
    name = a.array(matrices, a.choice(["f", "f", "fc"]))
    text = a.choice(OF_SINGULAR)
    fits = name and has_place(text, a.known[name]) and separate_singular(a.known[name])
    return text.format(name) if fits else None


@step(5, CATALOGUE)
def triangle_and_unitary(a: "Author") -> str | None:
    name = a.array(
        lambda x: matrices(x) and np.shape(x)[-1] <= min(6, np.shape(x)[-2]), a.choice(["f", "fc"])
    )
    if not name or not separate_singular(a.known[name]):
        return None
    return a.choice(OF_TALL).format(name)


@step(2, CATALOGUE)
def lu_factors(a: "Author") -> str | None:
    name = prepared(a, GENERAL[1:], conditioned)
    texts = [
        "sp.linalg.lu({0})[{1}]", "sp.linalg.lu({0}, permute_l=True)[{2}]",
        "xp.tril(sp.linalg.lu_factor({0})[0])",
    ]  # fmt: skip
    if not name or np.ndim(a.known[name]) > 2:
        return None
    return a.choice(texts).format(name, a.choice([1, 2]), a.choice([0, 1]))


@step(3, CATALOGUE)
def least_squares(a: "Author") -> str | None:
    name = a.array(lambda x: np.ndim(x) == 2 and separate_singular(x))
    if not name:
        return None
    rows = a.shape(name)[0]
    other = a.array(lambda v: np.ndim(v) in (1, 2) and np.shape(v)[0] == rows)
    other = other or a.numbers((rows, 2))
    return f"xp.linalg.lstsq({name}, {other})[0]"


@step(3, CATALOGUE)
def cross_product(a: "Author") -> str | None:
    name = a.array(lambda x: np.ndim(x) > 0 and np.shape(x)[-1] == 3, "fc")
    if not name:
        return None
    other = a.array(lambda v: np.shape(v) == a.shape(name), "fc") or a.numbers((3,))
    return a.choice(["xp.cross({0}, {1})", "xp.linalg.cross({0}, {1} + 1.0)"]).format(name, other)


@step(4, CATALOGUE)
def norm(a: "Author") -> str | None:
    """Vector norms of what is away from zero; matrix norms of ordered sums."""
    name = a.array(matrices)
    if not name:
        return None
    texts = [
        "xp.linalg.norm({0} + 5.0, ord=3, axis=-1)",
        "xp.linalg.norm({0} + 5.0, ord=1, axis=0)",
        "xp.linalg.norm({0} + 5.0, ord=-1, axis=-1)",
        "xp.linalg.norm({0} + 5.0, ord=0.5, axis=-1, keepdims=True)",
        "xp.linalg.vector_norm({0} + 5.0, ord=2.5, axis=-1)",
        "xp.linalg.vector_norm({0} + 5.0)",
        "xp.linalg.norm({0})",
        "xp.linalg.vecdot({0}, {0})",
        "xp.matvec({0}, {0}[..., 0, :])",
        "xp.vecmat({0}[..., 0], {0})",
        "xp.linalg.matrix_transpose({0})",
        "xp.linalg.trace({0})",
        "xp.linalg.diagonal({0})",
    ]
    return a.choice(texts).format(name)
