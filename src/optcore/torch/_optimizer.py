"""What all classes of optcore.torch share: torch's Optimizer, with a step that is one walk of the kernels.

Owns the step and the settings that torch does not have. The order of a step is step/policy.py's, rules come from
rules/; what the kernels hold between steps is in _layout.py. A step checks everything before its first change.
"""
from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from itertools import count
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from optcore.rules import FAMILIES, RULES, Family
from optcore.rules.settings import MOST_SEED, explain, whole
from optcore.step import threads as _threads
from optcore.step.options import STEP, TORCH, Ask, check, options
from optcore.step.policy import Policy
from optcore.step.share import Meant
from optcore.step.state import StateFormats, asked, remembered
from optcore.torch import _grouped, _rows, _tensors
from optcore.torch._grouped import EXTRAS, refuse_extras
from optcore.torch._layout import Copies, Kept, Layout, Made, take_away
from optcore.torch._written import Written

_values = attrgetter(*EXTRAS)               # of an optimizer
_numbers = count()                          # of the optimizers that are given no seed
TENSORS = 1 << 24                           # more than an optimizer has: the noise of no two of its tensors is the same
_asked = attrgetter(*(name if name in EXTRAS else "_not_asked" for name in options(STEP)))


@cache
def _tell_threads() -> None:
    """Say once, on the first rank, how many threads a step has, where torchrun's variable says something else."""
    told, chosen = os.environ.get("OMP_NUM_THREADS"), _threads.get_num_threads()
    if "LOCAL_WORLD_SIZE" in os.environ and os.environ.get("RANK", "0") == "0" and told not in (None, str(chosen)):
        logging.getLogger("optcore").warning(
            "optimizer steps use %d threads on each rank (%s), not OMP_NUM_THREADS=%s; OPTCORE_NUM_THREADS changes it",
            chosen, _threads.source(), told)


class FusedOptimizer(Policy, torch.optim.Optimizer):
    """What all classes of optcore.torch share. Not used by itself; see optcore.torch.Adam and its siblings."""

    family: ClassVar[Family]
    rival: ClassVar[str] = ""                   # torch's own class, where it has one
    counted: ClassVar[bool] = True              # whether torch keeps "step" in the state of this class
    _step_supports_amp_scaling = True           # GradScaler leaves unscaling and skipping to step()

    state_dtype: str | Mapping[str, str]
    min_8bit_size: int
    seed: int
    max_norm: float | None
    clip_value: float | None
    rounding: str
    average: float | Callable[[int], float] | None
    zero_grads: bool
    undoable: bool
    num_threads: int | None
    _not_asked = None                           # an option of a step that is no keyword here
    _before: Copies | None
    _checked_values: tuple[Any, ...] = ()       # of the keywords, as they were found to be good
    _ask: Ask                                   # what they ask of a step
    _threads: int
    _seeded = False                             # whether the seed was given
    _written: Written
    _away = ""                                  # the context in which the parameters hold something else

    def __init__(self, params: Any, *args: Any, **settings: Any) -> None:
        extras = {k: settings.pop(k, default) for k, default in EXTRAS.items()}
        self._seeded = extras["seed"] is not None
        if not self._seeded:
            extras["seed"] = TENSORS * next(_numbers)
        self.__dict__.update(extras, skipped=0, grad_norm=None)
        self._check_extras()
        self._layouts: dict[Any, Layout] = {}
        self._before, self._written = None, Written({})
        if callable(args[0] if args else settings.get("lr")):
            raise TypeError("lr: a number is needed here; functions of the step are torch.optim.lr_scheduler's")
        super().__init__(params, *args, **settings)
        _tell_threads()
        for group in self.param_groups:         # what torch's constructor made already (Adagrad) in our formats
            formats = self._formats_of(group)
            for p in group["params"]:
                for key in self.state.get(p, {}).keys() & formats.wanted.keys():
                    value = float(group.get(self.family.fill.get(key, ""), 0.0))
                    self.state[p][key] = _tensors.state_of(p, value, formats.of(
                        key, p.numel(), _tensors.kept_as(p)), self.family.shapes[key])
        if self.defaults.get("differentiable"):
            raise ValueError(f"differentiable=True: autograd does not see the fused step; use {self.rival}")

    def _check_extras(self) -> None:
        """Raise an error that names the first keyword whose value may not be."""
        now = _values(self)
        try:
            if now == self._checked_values:
                return
        except (ValueError, RuntimeError):      # an array or a tensor is among them
            pass
        check(TORCH, dict(zip(EXTRAS, now, strict=True)))
        self._formats_of({})
        whole("seed", self.seed, 0, MOST_SEED)
        self._threads = 0 if self.num_threads is None else _threads.checked(self.num_threads)
        self._checked_values, self._ask = now, Ask(*_asked(self))

    def _formats_of(self, group: Mapping[str, Any]) -> StateFormats:
        """Those of a group's state. Raises TypeError or ValueError for what it may not ask for."""
        return StateFormats(self.family, *asked([group], self.state_dtype, self.min_8bit_size)[0])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; a group may have its own state_dtype and min_8bit_size. Refuses parameters that the kernels
        cannot step and keywords that are the optimizer's, and then adds nothing."""
        if isinstance(param_group, dict):
            refuse_extras(param_group, len(self.param_groups))
            formats = self._formats_of(param_group)
        super().add_param_group(param_group)
        try:
            for k, p in enumerate(self.param_groups[-1]["params"]):
                label = self._label(len(self.param_groups) - 1, k)
                _tensors.check_parameter(label, p, self.rival, self.rounding)
                if "row" in self.family.shapes.values():
                    _tensors.check_rows(label, p)
                _grouped.check_formats(label, p, formats, self.family)
        except Exception:
            self.param_groups.pop()
            raise

    def _label(self, group: int, k: int) -> str:
        names = self.param_groups[group].get("param_names")
        return f"params[{names[k]!r}]" if names else f"param_groups[{group}]['params'][{k}]"

    # -------------------------------------------------------------------------------------------- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient, in place, in one walk.

        closure: computes the loss and the gradients first, with grad mode on; its value is returned.
        Raises TypeError, ValueError or RuntimeError, naming the tensor or setting, before anything is changed.
        """
        self._before = None     # undo() takes back this step or none, whatever becomes of it: never the one before
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._update(self.param_groups, None)
        return loss

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """torch's wrapper of step(), for hooks and the profiler; past it where neither is there. What
        torch.compile traces goes round the step, which is no tensor arithmetic: one graph break."""
        theirs = torch.optim.Optimizer.profile_hook_step(func)
        untraced = _disable_dynamo(theirs)      # as torch's own optimizers have it; imports nothing until called

        @wraps(func)
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return untraced(self, *args, **kwargs)
            if (self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or _global_optimizer_pre_hooks
                    or _global_optimizer_post_hooks or torch.autograd._profiler_enabled()):  # type: ignore[attr-defined]
                return theirs(self, *args, **kwargs)
            return func(self, *args, **kwargs)

        return step

    def _pick(self, group: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """The rule that a group's settings mean, and the settings that it takes."""
        for flag, name in self.family.becomes.items():
            if group.get(flag):
                return FAMILIES[name].pick(group)
        return self.family.pick(group)

    def _update(self, groups: list[dict[str, Any]], only: Any) -> None:
        """Step the parameters of these groups. only: None for all of the optimizer's, or the one that they hold."""
        if self._away:
            raise RuntimeError(f"step() inside {self._away}(): leave it first, so that the parameters are back")
        layout = self._layouts.get(only)
        found = None if layout is None else layout.found(groups, self.state)
        holds = found is not None
        if found is None:
            grads = [p.grad for group in groups for p in group["params"]]
            found = grads, sum(g is not None for g in grads), False
        grads, given, plain = found
        if not given:
            return
        self._check_extras()
        if self._written.versions:
            self._take_over()
        if (found_inf := getattr(self, "found_inf", None)) is not None and float(found_inf) != 0:
            self._skip(grads, self.zero_grads)
            return
        ask = self._ask
        if (scale := getattr(self, "grad_scale", None)) is not None:        # torch's GradScaler sets it
            ask = ask._replace(grad_scale=float(scale))
        meant = [self._pick(group) for group in groups]
        formats = asked(groups, self.state_dtype, self.min_8bit_size)
        fits = layout is not None and holds and layout.fits(
            [name for name, _ in meant], self.rounding, self.average is not None, grads, formats)
        if fits and plain and layout is not None and layout.direct:
            flat = layout.mine(grads)
            if self._try(layout, groups, meant, flat, None, ask):
                return
        self._update_slowly(layout, fits, plain, groups, grads, meant, ask, only)

    def _try(self, layout: Layout, groups: list[dict[str, Any]], meant: Meant, flat: list[Any], given: list[Any] | None,
             ask: Ask) -> bool:
        """Make the step with gradients `flat`, made of `given`; False, with nothing changed, if one of them is not
        usable or a tensor of the layout has moved."""
        layout.prepare(groups)
        cleared = ask.zero_grads and len(layout.shares) == 1
        try:
            stepped = self._attempt(layout, meant, flat, ask, self._threads, self.seed, self.average, given)
            if stepped > 0:
                layout.note(flat, stepped, cleared)
        except BaseException:                   # a KeyboardInterrupt comes after any call: what was walked is counted
            layout.settle(flat, cleared)
            raise
        finally:
            if layout.followed:
                self._written.note(layout.followed)
        return stepped >= 0

    @_tensors.without_grad
    def _update_slowly(self, layout: Layout | None, fits: bool, plain: bool, groups: list[dict[str, Any]],
                       grads: list[Any], meant: Meant, ask: Ask, only: Any) -> None:
        """The step where gradients have to be converted, or there is no layout that fits."""
        if fits and layout is not None and layout.still():
            mine = layout.mine(grads)
            if layout.moved() and plain and self._try(layout, groups, meant, mine, None, ask):
                return
            if self._try(layout, groups, meant, self._converted(layout, mine), mine, ask):
                return
        # The first step, or a tensor is not where it was. All is checked before there is state to see.
        self._check_all(groups, grads)
        for number, (group, (name, values)) in enumerate(zip(groups, meant, strict=True)):
            refuse_extras(group, number)
            explain(group, self.family.domains)
            RULES[name].scalars(1, *values)
        begin = None if only is None else next(k for k, p in enumerate(
            p for group in self.param_groups for p in group["params"]) if p is only)

        kept = Kept([self._formats_of(group) for group in groups], remembered(asked(
            groups, self.state_dtype, self.min_8bit_size)), self.rounding, self.average is not None, self.counted)

        def laid_out(waiting: bool) -> Layout:
            made: list[Made] = []
            try:
                return Layout(self.family, kept, groups, [name for name, _ in meant], grads, self.state, made,
                              last=layout, begin=begin, waiting=waiting)
            except BaseException:
                take_away(made)
                raise

        try:
            new = laid_out(waiting=True)
        except (TypeError, ValueError):         # it may be for one that is not stepped now: frozen, and then converted
            new = laid_out(waiting=False)
        self._layouts[only] = new
        mine = new.mine(grads)
        flat = self._converted(new, mine)
        if not self._try(new, groups, meant, flat, mine, ask):
            one = next((i for share in new.shares for i in share.refused()), None)
            which = "a gradient" if one is None else f"the gradient of {self._name_of(new.mine(new.params)[one])}"
            raise ValueError(f"{which} overlaps a parameter, a state array or, with zero_grads, another gradient "
                             "in memory; what is written must stand alone")

    def _alone(self, p: Any) -> list[dict[str, Any]]:
        """A list of one group that holds p only, with the settings that p has now; of none if p is in none."""
        return [{**group, "params": [p]} for group in self.param_groups if any(q is p for q in group["params"])]

    def _converted(self, layout: Layout, grads: list[Any]) -> list[Any]:
        """The gradients, each in the memory order of its parameter, or the error that names the first that cannot be
        read."""
        flat = []
        for k, (g, p) in enumerate(zip(grads, layout.mine(layout.params), strict=True)):
            if g is not None:
                _rows.check_gradient(self._name_of, g, p, self.family, layout.formats[k])
                if g.layout != torch.strided:
                    flat.append(_rows.of(g))
                    continue
                if hasattr(g, "placements") and g.placements != p.placements:
                    g = g.redistribute(p.device_mesh, p.placements)
                g = _tensors.placed_as(_tensors.real(_tensors.local(g)), layout.parts[k])
            flat.append(g)
        return flat

    def _check_all(self, groups: list[dict[str, Any]], grads: list[Any]) -> None:
        """Refuse, before there is state to see, whatever cannot be stepped."""
        params, stepped = [p for group in groups for p in group["params"]], []
        names = {id(p): self._label(n, k) for n, group in enumerate(self.param_groups)
                 for k, p in enumerate(group["params"])}
        formats = [kept for group in groups for kept in [self._formats_of(group)] for _ in group["params"]]
        for p, g, kept in zip(params, grads, formats, strict=True):
            if g is not None:
                _tensors.check_parameter(names[id(p)], p, self.rival, self.rounding)
                _grouped.check_formats(names[id(p)], p, kept, self.family)
                _rows.check_gradient(self._name_of, g, p, self.family, kept)
                stepped.append((names[id(p)], _tensors.local(p)))
        _tensors.check_apart(stepped)
        if twice := [p for p, n in Counter(params).items() if n > 1]:
            raise ValueError(f"{self._name_of(twice[0])} occurs twice; what is updated in place must stand alone")

    def _name_of(self, p: Any) -> str:
        return next(self._label(n, k) for n, group in enumerate(self.param_groups)
                    for k, q in enumerate(group["params"]) if q is p)

    def _refuse_nonfinite(self, tensors: Layout, grads: list[Any]) -> None:
        for p, g in zip(tensors.mine(tensors.params), grads, strict=True):
            if g is not None and (bad := _tensors.nonfinite(_tensors.real(_tensors.local(_rows.values_of(g))))):
                raise FloatingPointError(f"the gradient of {self._name_of(p)} is {bad}; nothing was changed")
        raise FloatingPointError("a gradient in another process, or grad_scale, is not finite; nothing was changed")

    def _clear(self, grads: list[Any]) -> None:
        _tensors.clear(grads)

    def _restore(self, before: Copies) -> None:
        with torch.no_grad():
            _rows.restore(before)
        self._written.agree()

    # ------------------------------------------------------------------------------- what stands beside them

    @property
    def averages(self) -> Any:
        """The moving averages of the parameters, float32 (of float64 parameters float64): a dict by name where these
        were given by name, else a list, over all groups. They begin as the parameters do before the first step; of one
        that was never stepped it is what it holds.

        Raises RuntimeError before the first step, or without average=.
        """
        self._need_averages("averages")
        params = [p for group in self.param_groups for p in group["params"]]
        arrays = [s["average"] if "average" in (s := self.state.get(p, {})) else p.detach().float() for p in params]
        names = [name for group in self.param_groups for name in group.get("param_names", ())]
        return dict(zip(names, arrays, strict=True)) if names else arrays

    def _need_averages(self, what: str) -> None:
        if self.average is None or not any("average" in s for s in self.state.values()):
            raise RuntimeError(f"{what}: there are none before the first step, or without average=")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the parameters are their moving averages, rounded to nearest; after it they are what they were.

            with opt.averaged():
                evaluate(model)

        Buffers of the model (a batch norm's statistics) are not touched. A step inside is refused.
        Raises RuntimeError before the first step, or without average=.
        """
        self._need_averages("averaged()")
        with self._instead("averaged", {p: s["average"] for p, s in self.state.items() if "average" in s}):
            yield

    @contextmanager
    def _instead(self, what: str, values: dict[Any, Any]) -> Iterator[None]:
        """Within it these parameters have these values, and no step may be made."""
        if self._away:
            raise RuntimeError(f"{self._away}() is already entered")
        self._take_over()
        with torch.no_grad():
            saved = [p.clone() for p in values]
        self._away = what
        try:
            with torch.no_grad():
                for p, value in values.items():
                    p.copy_(value)
            yield
        finally:
            del self._away
            with torch.no_grad():
                for p, before in zip(values, saved, strict=True):
                    p.copy_(before)
            self._written.agree()

    def _take_over(self) -> None:
        """Let masters and compensations agree with what others have written into the parameters."""
        self._written.follow(self.state)

    # ------------------------------------------------------------------------------------------- the state

    def state_dict(self) -> dict[str, Any]:
        """As torch's, and the seed."""
        self._take_over()
        return {**super().state_dict(), "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's: takes over settings and state that an optimizer of this class or of torch's gave, and the seed if
        this optimizer was given none; 0 where the state has none, as what 0.1 saved.

        State of another format than this optimizer keeps is converted at the next step, to nearest. A group's own
        state_dtype and min_8bit_size are taken over, and stay where the state has none.
        """
        given: list[dict[str, Any]] = []
        ours = _grouped.own(self.param_groups)

        def take_over(_: Any) -> None:
            # As it was given: torch casts it to the parameter's dtype and shares "step". Before anyone's hooks see it.
            numbers = [k for group in given[0]["param_groups"] for k in group["params"]]
            params = [p for group in self.param_groups for p in group["params"]]
            for n, p in zip(numbers, params, strict=True):
                for key, value in given[0]["state"].get(n, {}).items():
                    if isinstance(value, Tensor):
                        kept = value.detach().to("cpu", copy=True)
                        self.state[p][key] = _tensors.from_0_1(kept, p, self.family.codes.get(key, 0))
            for group, kept_here in zip(self.param_groups, ours, strict=True):
                group.update({key: value for key, value in kept_here.items() if key not in group})
            self._written = Written(self.state)
            if not self._seeded and ("seed" in given[0] or given[0]["state"]):
                self.seed = given[0].get("seed", 0)

        def look_at(_: Any, d: dict[str, Any]) -> None:
            for number, (group, mine) in enumerate(zip(d["param_groups"], self.param_groups, strict=False)):
                refuse_extras(group, number)
                formats = self._formats_of({**mine, **group})
                for k, p in enumerate(mine["params"]):
                    _grouped.check_formats(self._label(number, k), p, formats, self.family)
            whole("seed", d.get("seed", 0), 0, MOST_SEED)
            given.append(d)

        handles = [self.register_load_state_dict_pre_hook(look_at),
                   self.register_load_state_dict_post_hook(take_over, prepend=True)]
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def __getstate__(self) -> dict[str, Any]:
        self._take_over()
        kept = (*EXTRAS, "skipped", "grad_norm", "_seeded")
        return {**super().__getstate__(), **{k: self.__dict__[k] for k in kept}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._layouts, self._before, self._written = {}, None, Written(self.state)
