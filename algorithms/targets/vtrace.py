"""V-trace, section 4.1 of arXiv:1802.01561: values and advantages of a policy, from another policy's trajectories.

Shape legend: T steps of a trajectory, B trajectories; time is the leading axis.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class VTrace(NamedTuple):
    """What `vtrace` returns; no gradient flows through either.

    value_target: float32 `[T, B]`, the paper's `v_s`; equals `value` at masked steps.
    advantage: float32 `[T, B]`, of the policy gradient, `rho_s (r_s + gamma v_s+1 - V(x_s))`; 0 at masked steps.
    """

    value_target: tf.Tensor
    advantage: tf.Tensor


def vtrace(
    value: tf.Tensor,
    log_rho: tf.Tensor,
    reward: tf.Tensor,
    terminated: tf.Tensor,
    truncated: tf.Tensor,
    mask: tf.Tensor,
    *,
    gamma: float,
    vtrace_lambda: float = 1.0,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
    pg_rho_bar: float = 1.0,
) -> VTrace:
    """Targets by remark 1 of the paper, over several episodes per trajectory.

    With `rho_t = min(rho_bar, pi/mu)`, `c_t = lambda min(c_bar, pi/mu)`, `gamma_t = gamma (1 - terminated_t)` and
    `delta_t = rho_t (r_t + gamma_t V_t+1 - V_t)`:
    `v_t - V_t = delta_t + gamma_t c_t (1 - truncated_t) (v_t+1 - V_t+1)`, and `v_t = V_t` where the mask is False.
    So a truncated step, and the last one, bootstrap from the value V of their successor. The successor's correction is
    not used: it belongs to another episode, or is unknown.

    The advantage takes `lambda v_t+1 + (1 - lambda) V_t+1` for the successor, and its own `min(pg_rho_bar, pi/mu)`.

    Args:
        value: float32 `[T + 1, B]`, V; entry t + 1 is that of the state that step t led to, also where it ended there.
        log_rho: float32 `[T, B]`, `log pi(a_t | x_t) - log mu(a_t | x_t)`: the policy now, and the one that acted.
        reward: float32 `[T, B]`.
        terminated: bool `[T, B]`; the episode ended in a terminal state, whose value is 0.
        truncated: bool `[T, B]`; the episode was cut, for example by a time limit.
        mask: bool `[T, B]`; False where step t is no step of any episode (an automatic reset). Neither its reward nor
            its log_rho is read.
        gamma: discount per step, in [0, 1].
        vtrace_lambda: in [0, 1]; 1 is the paper's, 0 is one-step.
        rho_bar: at least c_bar; decides which policy's value is learned: at infinity that of pi, near 0 that of mu.
        c_bar: how far corrections travel back; decides the variance and the speed, not what is learned.
        pg_rho_bar: bounds the weight of a step in the policy gradient.
    """
    value, log_rho = tf.stop_gradient(value), tf.stop_gradient(log_rho)
    v_tm1, v_t = value[:-1], value[1:]  # [T, B]
    zeros = tf.zeros_like(reward)
    rho = tf.exp(tf.where(mask, log_rho, zeros))  # [T, B]
    discount = tf.where(terminated, zeros, gamma)  # [T, B]
    td_error = reward + discount * v_t - v_tm1
    delta = tf.where(mask, tf.minimum(rho_bar, rho) * td_error, zeros)  # [T, B]
    c = vtrace_lambda * tf.minimum(c_bar, rho)
    carry = tf.where(mask & ~truncated, discount * c, zeros)  # [T, B]
    correction = tf.scan(
        lambda later, step: step[0] + step[1] * later, (delta, carry), tf.zeros_like(delta[0]), reverse=True
    )  # v - V, [T, B]

    later = tf.concat([correction[1:], tf.zeros_like(correction[:1])], 0)
    successor = v_t + tf.where(truncated, zeros, vtrace_lambda * later)  # [T, B]
    advantage = tf.minimum(pg_rho_bar, rho) * (reward + discount * successor - v_tm1)
    return VTrace(v_tm1 + correction, tf.where(mask, advantage, zeros))
