"""Generalized advantage estimation, arXiv:1506.02438.

Shape legend: T steps of a trajectory, B trajectories; time is the leading axis.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class GAE(NamedTuple):
    """What `gae` returns.

    advantage: float32 `[T, B]`; 0 at masked steps.
    value_target: float32 `[T, B]`, the lambda-return `advantage + v_tm1`; equals `v_tm1` at masked steps.
    """

    advantage: tf.Tensor
    value_target: tf.Tensor


def gae(
    value: tf.Tensor,
    reward: tf.Tensor,
    terminated: tf.Tensor,
    truncated: tf.Tensor,
    mask: tf.Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> GAE:
    """Advantages by equation 16 of arXiv:1506.02438, over several episodes per trajectory.

    With `delta_t = r_t + gamma (1 - terminated_t) v_t+1 - v_t`:
    `A_t = delta_t + gamma lambda (1 - terminated_t) (1 - truncated_t) A_t+1`, and `A_t = 0` where the mask is False.
    So a truncated step bootstraps from the value of its successor, but does not use the successor's advantage, which
    belongs to another episode.

    Args:
        value: float32 `[T + 1, B]`; entry t + 1 is that of the state that step t led to, also where it ended there.
        reward: float32 `[T, B]`.
        terminated: bool `[T, B]`; the episode ended in a terminal state, whose value is 0.
        truncated: bool `[T, B]`; the episode was cut, for example by a time limit.
        mask: bool `[T, B]`; False where step t is no step of any episode (an automatic reset). Its reward is not read.
        gamma: discount per step, in [0, 1].
        gae_lambda: the mix of n-step estimates, in [0, 1]: 0 is one step, 1 is Monte Carlo.
    """
    v_tm1, v_t = value[:-1], value[1:]  # [T, B]
    zeros = tf.zeros_like(reward)
    discount = tf.where(terminated, zeros, gamma)  # [T, B]
    delta = tf.where(mask, reward + discount * v_t - v_tm1, zeros)  # [T, B]
    carry = tf.where(mask & ~truncated, discount * gae_lambda, zeros)  # [T, B]
    advantage = tf.scan(
        lambda later, step: step[0] + step[1] * later, (delta, carry), tf.zeros_like(delta[0]), reverse=True
    )  # [T, B]
    return GAE(advantage, advantage + v_tm1)
