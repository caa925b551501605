"""`gpuad demo`: softmax regression on images of digits, by Newton's method.

The loss is plain NumPy. Its gradient, and the product of its Hessian with a direction, come from
gpuad. Newton's step solves ``H step = -gradient`` by conjugate gradients, which ask for such
products only: the Hessian itself, 2,750 x 2,750, is never formed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import gpuad as ad
from gpuad import info
from gpuad.errors import GpuadError

Array = Any  # numpy.ndarray, or cupy.ndarray on a GPU
PENALTY = 1.0
TOLERANCE = 1e-8
MOVES = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]  # not at all, then by a pixel each way


def loss(W: Array, X: Array, Y: Array) -> Array:
    """Mean cross-entropy of softmax(X @ W) against the classes Y, plus a penalty on the weights.

    X (images, features + 1) ends in a column of ones, Y (images, classes) is 1 at the true class. W
    is (features + 1, classes); its last row, the bias, goes without penalty, as in scikit-learn.
    """
    Z = X @ W
    top = Z.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(Z - top).sum(axis=1))
    fit = (log_sum - (Z * Y).sum(axis=1)).mean()
    return fit + PENALTY / (2 * X.shape[0]) * (W[:-1] ** 2).sum()


gradient = ad.jit(ad.grad(loss))


@ad.jit
def hessian_product(W: Array, V: Array, X: Array, Y: Array) -> Array:
    """The Hessian of the loss at W, times V."""
    return ad.hvp(loss, (W, X, Y), (V, None, None))[0]


@dataclass(frozen=True)
class Iteration:
    """Where Newton's method is: a row of the table."""

    W: Array
    loss: float
    gradient_norm: float
    products: int  # Hessian-vector products so far
    step: float  # 1 is the full Newton step
    seconds: float  # since the start


def newton_cg(W: Array, X: Array, Y: Array) -> Iterator[Iteration]:
    """Minimises the loss; yields each iterate, the first and the last included.

    Nocedal & Wright, Numerical Optimization, algorithm 7.1, with the convergence test of its
    equation (7.3).
    """
    start, products, step = perf_counter(), 0, 0.0
    while True:
        value = float(loss(W, X, Y))
        # The gradient here, and a function that multiplies by the Hessian here.
        g, hessian = ad.linearize(lambda W: gradient(W, X, Y), W)
        norm = float((g**2).sum()) ** 0.5
        yield Iteration(W, value, norm, products, step, perf_counter() - start)
        if norm < TOLERANCE:
            return
        direction, used = conjugate_gradients(hessian, -g, min(0.5, norm**0.5) * norm)
        products += used
        step, slope = 1.0, float((g * direction).sum())
        while float(loss(W + step * direction, X, Y)) > value + 1e-4 * step * slope:
            step /= 2
        W = W + step * direction


def conjugate_gradients(
    matrix: Callable[[Array], Array], b: Array, tolerance: float
) -> tuple[Array, int]:
    """Solves ``matrix(x) = b`` to a residual of `tolerance`; and how many products that took."""
    x, residual, direction = 0 * b, b, b
    square, used = float((b**2).sum()), 0
    while square**0.5 > tolerance:
        image = matrix(direction)
        along = square / float((direction * image).sum())
        x, residual = x + along * direction, residual - along * image
        previous, square = square, float((residual**2).sum())
        direction = residual + square / previous * direction
        used += 1
    return x, used


@dataclass(frozen=True)
class Digits:
    """Images of digits, three quarters to fit and a quarter to test; arrays of one namespace."""

    X: Array  # float64, (images, features + 1)
    Y: Array  # float64, (images, classes)
    X_test: Array
    classes_test: Array


def read_digits(xp: Any) -> Digits:
    """scikit-learn's 1,797 images; those to fit in five copies, moved by `MOVES`."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, classes = images[order].reshape(-1, 8, 8) / 16, classes[order]
    cut = 3 * len(images) // 4
    padded = np.pad(images[:cut], ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, i : i + 8, j : j + 8] for i, j in MOVES]
    Y = np.eye(10)[np.tile(classes[:cut], len(moved))]
    arrays = features(np.concatenate(moved)), Y, features(images[cut:]), classes[cut:]
    return Digits(*map(xp.asarray, arrays))


def features(images: np.ndarray) -> np.ndarray:
    """64 pixels, 210 products of neighbours (which see strokes), and a column of ones."""
    pairs = (
        (images[:, 1:], images[:, :-1]),
        (images[:, :, 1:], images[:, :, :-1]),
        (images[:, 1:, 1:], images[:, :-1, :-1]),
        (images[:, 1:, :-1], images[:, :-1, 1:]),
    )
    blocks = [images, *(a * b for a, b in pairs), np.ones((len(images), 1, 1))]
    return np.concatenate([block.reshape(len(images), -1) for block in blocks], axis=1)


def check_product(W: Array, V: Array, X: Array, Y: Array) -> float:
    """How far a Hessian product is from a central difference of the gradient, relative to it."""
    exact, h = hessian_product(W, V, X, Y), 1e-5
    difference = (gradient(W + h * V, X, Y) - gradient(W - h * V, X, Y)) / (2 * h)
    return float(abs(exact - difference).max() / abs(exact).max())


def seconds(function: Callable[..., Array], *arguments: Array, repeats: int = 15) -> float:
    """Median time of a call, the result awaited."""
    times = []
    for _ in range(repeats + 1):
        start = perf_counter()
        float(function(*arguments)[0, 0])
        times.append(perf_counter() - start)
    return median(times[1:])


def main(picture: Path | None) -> None:
    """Runs the demo; draws the picture of the convergence, unless `picture` is None."""
    require_packages()
    if picture is not None:
        check_picture(picture)
    from rich.console import Console, Group
    from rich.live import Live

    console = Console()
    xp = info.array_module()
    data = read_digits(xp)
    start = xp.zeros((data.X.shape[1], data.Y.shape[1]))
    size = f"{len(data.X):,} images, {len(start) - 1} features, {start.size:,} weights"
    console.print(
        f"Softmax regression: {size}.\nDevice: {info.report().device}.\n", highlight=False
    )
    history: list[Iteration] = []
    table, progress = new_table(), new_progress()
    with Live(Group(table, progress, ""), console=console):
        for iteration in newton_cg(start, data.X, data.Y):
            history.append(iteration)
            add_row(table, history)
            advance(progress, history)
    with console.status("Fitting the same with scikit-learn, and timing"):
        tables = comparison(xp, data, history[-1]), costs(xp, data, history[-1].W)
    console.print(*tables)
    if picture is not None:
        draw(history, picture)
        console.print(
            f"The convergence is drawn in {picture.resolve()}", soft_wrap=True, highlight=False
        )


def require_packages() -> None:
    """Names the packages of the demo that are missing, and the command that brings them."""
    missing = [name for name in info.DEMO_PACKAGES if info.version(name) is None]
    if missing:
        raise GpuadError(f"{' and '.join(missing)} missing; run: pip install 'gpuad[demo]'")


def check_picture(picture: Path) -> None:
    """Refuses a picture that could not be saved, before the work is done."""
    from matplotlib.backend_bases import FigureCanvasBase

    if not picture.parent.is_dir():
        raise GpuadError(f"--out {picture}: there is no folder {picture.parent}; make it first")
    kinds = FigureCanvasBase.get_supported_filetypes()
    if picture.suffix[1:].lower() not in kinds:
        raise GpuadError(f"--out {picture}: the name must end in one of .{', .'.join(kinds)}")


def new_table() -> Any:
    """The table of iterations, still empty."""
    from rich.table import Table

    table = Table(title="Newton's method", title_justify="left")
    for heading in ("iteration", "loss", "gradient norm", "products", "step", "seconds"):
        table.add_column(heading, justify="right")
    return table


def add_row(table: Any, history: list[Iteration]) -> None:
    """Adds the newest iteration to the table."""
    now, before = history[-1], history[-2] if len(history) > 1 else None
    products, step = (f"{now.products - before.products}", f"{now.step:g}") if before else ("", "")
    table.add_row(
        str(len(history) - 1),
        f"{now.loss:.10f}",
        f"{now.gradient_norm:.1e}",
        products,
        step,
        f"{now.seconds:.2f}",
    )


def new_progress() -> Any:
    """A bar for the digits that the gradient norm has lost, of those it has to lose."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    progress.add_task("to a gradient norm of 1e-8", total=1.0)
    return progress


def advance(progress: Any, history: list[Iteration]) -> None:
    """Sets the bar by the newest iteration."""
    first, last = history[0].gradient_norm, history[-1].gradient_norm
    progress.update(
        progress.task_ids[0], completed=np.log(first / last) / np.log(first / TOLERANCE)
    )


def comparison(xp: Any, data: Digits, found: Iteration) -> Any:
    """A table of the weights found, beside those that scikit-learn finds for the same problem."""
    from rich.table import Table
    from sklearn.linear_model import LogisticRegression

    X, classes = on_host(data.X), on_host(data.Y).argmax(axis=1)
    peer = LogisticRegression(C=1 / PENALTY, max_iter=5000, tol=1e-5)
    peer.fit(X[:, :-1], classes)
    peer_W = xp.asarray(np.vstack([peer.coef_.T, peer.intercept_]))

    table = Table(title="Beside scikit-learn", title_justify="left")
    for heading in ("", "gpuad, Newton-CG", "scikit-learn, L-BFGS"):
        table.add_column(heading, justify="right" if heading else "left")
    answers = [(data.X_test @ w).argmax(axis=1) for w in (found.W, peer_W)]
    right = [float((answer == data.classes_test).mean()) for answer in answers]
    norms = [float((gradient(w, data.X, data.Y) ** 2).sum()) ** 0.5 for w in (found.W, peer_W)]
    losses = [float(loss(w, data.X, data.Y)) for w in (found.W, peer_W)]
    table.add_row("loss", *(f"{x:.10f}" for x in losses))
    table.add_row("gradient norm", *(f"{x:.1e}" for x in norms))
    table.add_row("test images recognised", *(f"{x:.1%}" for x in right))
    return table


def on_host(x: Array) -> np.ndarray:
    """The same values in a NumPy array."""
    return x if isinstance(x, np.ndarray) else x.get()


def costs(xp: Any, data: Digits, W: Array) -> Any:
    """A table of what a Hessian-vector product costs, and how exact it is."""
    from rich.table import Table

    V = xp.asarray(np.random.default_rng(1).normal(size=W.shape))
    by_gradient = seconds(gradient, W, data.X, data.Y)
    by_product = seconds(hessian_product, W, V, data.X, data.Y)
    error = check_product(W, V, data.X, data.Y)
    table = Table(title="Hessian-vector products", title_justify="left", show_header=False)
    table.add_row("one gradient", f"{1e3 * by_gradient:.1f} ms")
    table.add_row("one Hessian-vector product", f"{1e3 * by_product:.1f} ms")
    table.add_row("ratio of the two", f"{by_product / by_gradient:.2f}")
    table.add_row("relative difference from finite differences", f"{error:.0e}")
    return table


def draw(history: list[Iteration], picture: Path) -> None:
    """Draws the convergence, over Newton's steps and over the products that they took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle("Softmax regression on digits by Newton's method")
    over_steps, over_products = figure.subplots(1, 2, sharey=True)
    products = [h.products for h in history]
    norms = [h.gradient_norm for h in history]
    above = [h.loss - history[-1].loss for h in history]
    for axes, x in ((over_steps, range(len(history))), (over_products, products)):
        axes.semilogy(x, norms, "o-", label="norm of the gradient")
        axes.semilogy(x[:-1], above[:-1], "s--", label="loss above its minimum")
        axes.axhline(TOLERANCE, color="0.6", linewidth=1, linestyle=":")
        axes.grid(alpha=0.3)
    over_steps.set_xlabel("Newton steps")
    over_products.set_xlabel("Hessian-vector products")
    over_steps.legend()
    figure.savefig(picture, dpi=150)
