#include "core/cpu/experts.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/experts.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// sqrt(softplus(v)), softplus(v) = v above 20.
HWY_INLINE void gate_scores(float* scores, int64_t count) {
  const D d;
  for (int64_t i = 0; i < count; i += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, count - i)));
    const V v = hn::MaskedLoad(mask, d, scores + i);
    const V soft = hn::Log1p(d, exp_lanes(d, v));
    hn::BlendedStore(hn::Sqrt(hn::IfThenElse(hn::Gt(v, hn::Set(d, 20.0f)), v, soft)), mask, d, scores + i);
  }
}

// The k largest of scores + bias, lower ids first among equals, written in ascending order.
inline void choose_experts(const float* scores, const float* bias, int64_t count, int k, int32_t* ids) {
  for (int slot = 0; slot < k; ++slot) {
    int32_t best = -1;
    float best_score = 0.0f;
    for (int64_t e = 0; e < count; ++e) {
      const float score = bias != nullptr ? scores[e] + bias[e] : scores[e];
      if (best >= 0 && !(score > best_score)) continue;
      if (std::find(ids, ids + slot, static_cast<int32_t>(e)) != ids + slot) continue;
      best = static_cast<int32_t>(e);
      best_score = score;
    }
    ids[slot] = best;
  }
  std::sort(ids, ids + k);
}

void route_rows_target(const RouteJob& job, int64_t begin, int64_t end) {
  const int64_t experts = job.moe->gate.rows;
  for (int64_t r = begin; r < end; ++r) {
    float* scores = job.scores + r * experts;
    int32_t* ids = job.ids + r * job.k;
    gate_scores(scores, experts);
    if (job.moe->tid2eid != nullptr) {
      std::copy_n(job.moe->tid2eid + int64_t{job.tokens[r]} * job.k, job.k, ids);
      std::sort(ids, ids + job.k);
    } else {
      choose_experts(scores, job.moe->bias.data, experts, job.k, ids);
    }
    float sum = 0.0f;
    for (int i = 0; i < job.k; ++i) sum += scores[ids[i]];
    for (int i = 0; i < job.k; ++i) job.weights[r * job.k + i] = scores[ids[i]] / sum * job.route_scale;
  }
}

void gated_unit_rows_target(const GatedUnitJob& job, int64_t begin, int64_t end) {
  const D d;
  const V limit = hn::Set(d, job.limit), lowest = hn::Set(d, -job.limit), one = hn::Set(d, 1.0f);
  for (int64_t r = begin; r < end; ++r) {
    const V weight = hn::Set(d, r < job.weighted ? job.weight[r] : 1.0f);
    float* gate = job.gate + r * job.width;
    const float* up = job.up + r * job.width;
    for (int64_t c = 0; c < job.width; c += kLanes) {
      const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, job.width - c)));
      const V g = hn::Min(hn::MaskedLoad(mask, d, gate + c), limit);
      const V u = hn::Max(hn::Min(hn::MaskedLoad(mask, d, up + c), limit), lowest);
      const V decay = exp_lanes(d, hn::Neg(g));
      const V silu = hn::Div(g, hn::Add(one, decay));
      hn::BlendedStore(round_if(d, hn::Mul(weight, hn::Mul(silu, u)), job.official), mask, d, gate + c);
    }
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(route_rows_target);
HWY_EXPORT(gated_unit_rows_target);

void route_rows(const RouteJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(route_rows_target)(job, begin, end);
}
void gated_unit_rows(const GatedUnitJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(gated_unit_rows_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
