#include "verify/rejection_verifier.h"

#include <algorithm>

#include "core/check.h"

namespace ft::verify {

void RejectionVerifier::verify(const VerifyInput& input, std::span<const double> draft_probability,
                               AcceptanceRule rule, Verified& out) {
  const TokenTree& tree = input.tree;
  FT_CHECK(tree.size() > 0 && input.logits.size() % static_cast<size_t>(tree.size()) == 0, tree.size(),
           input.logits.size());
  vocab_ = input.logits.size() / static_cast<size_t>(tree.size());
  FT_CHECK(draft_probability.size() == static_cast<size_t>(tree.size() - 1) * vocab_,
           draft_probability.size(), tree.size(), vocab_);
  for (int32_t node = 1; node < tree.size(); ++node) {
    const int32_t parent = tree[node].parent;
    FT_CHECK(parent == node - 1, node, parent);
  }
  FT_CHECK(input.stop.tokens_left >= 1, input.stop.tokens_left);

  mask_.resize(input.constraint != nullptr ? (vocab_ + 31) / 32 : 0);
  target_.resize(vocab_);
  walked_ = 0;
  states_.clear();
  if (input.constraint != nullptr) states_.push_back(*input.constraint);
  out.clear();
  acceptance_.start(rule, {input.params.seed, input.anchor_position});
  const ChainEnd end = walk(input, draft_probability);
  take_back(input);
  emit(input, end, out);
}

RejectionVerifier::ChainEnd RejectionVerifier::walk(const VerifyInput& input,
                                                    std::span<const double> draft_probability) {
  ChainEnd end;
  for (;;) {
    if (input.constraint != nullptr) states_.back().fill_mask(mask_);
    if (!sampler_.distribution(logits_row(input, walked_), input.params, input.counts, mask_, target_)) {
      end.unusable = true;
      break;
    }
    if (walked_ + 1 == input.tree.size()) {
      acceptance_.last_row(target_);
      return end;
    }
    const int32_t draft = input.tree[walked_ + 1].token;
    const std::span<const double> draft_row =
        draft_probability.subspan(static_cast<size_t>(walked_) * vocab_, vocab_);
    // A draft of target probability 0 never gets past here, so the constraint only sees what its mask allows.
    if (!acceptance_.row(target_, draft_row, draft)) return end;
    ++walked_;
    if (input.counts != nullptr) input.counts->push(draft);
    end.finish = input.stop.finish_after(draft, walked_);
    if (end.finish != FinishReason::kNone) break;
    if (input.constraint != nullptr) {
      auto next = states_.back().after(draft);
      end.refused = !next;
      if (end.refused) break;
      states_.push_back(std::move(*next));
    }
  }
  acceptance_.end();
  return end;
}

// The block rule walks further than it accepts.
void RejectionVerifier::take_back(const VerifyInput& input) {
  const int64_t accepted = acceptance_.accepted();
  if (input.counts != nullptr) {
    for (int64_t node = walked_; node > accepted; --node) {
      input.counts->pop(input.tree[node].token);
    }
  }
  // The constraint does not move past a draft that ends the request or that it refuses.
  if (input.constraint != nullptr)
    *input.constraint = states_[std::min(static_cast<size_t>(accepted), states_.size() - 1)];
}

void RejectionVerifier::emit(const VerifyInput& input, const ChainEnd& end, Verified& out) {
  const int64_t accepted = acceptance_.accepted();
  for (int64_t node = 1; node <= accepted; ++node) {
    emit_token(input, input.tree[node].token, out);
  }
  const int32_t next = acceptance_.next();
  if (next != ChainAcceptance::kNothing) {
    emit_token(input, next, out);
    if (input.counts != nullptr) input.counts->push(next);
    out.finish = input.stop.finish_after(next, accepted + 1);
    if (out.finish == FinishReason::kNone && input.constraint != nullptr) {
      out.degenerate = !input.constraint->advance(next);
    }
  } else if (end.unusable) {
    out.degenerate = true;
    out.path.push_back(static_cast<int32_t>(accepted));
    SampleResult& sample = out.samples.emplace_back();
    sampler_.sample(logits_row(input, accepted), input.params, input.counts,
                    input.anchor_position + accepted + 1, mask_, sample);
    out.emitted.push_back(sample.token);
    if (input.counts != nullptr) input.counts->push(sample.token);
  } else {
    out.finish = end.finish;
    out.degenerate = end.refused;
  }
}

// The token chosen after the next node of the chain.
void RejectionVerifier::emit_token(const VerifyInput& input, int32_t token, Verified& out) {
  const int32_t node = static_cast<int32_t>(out.path.size());
  out.path.push_back(node);
  out.emitted.push_back(token);
  sampler_.report(logits_row(input, node), input.params, token, out.samples.emplace_back());
}

std::span<const float> RejectionVerifier::logits_row(const VerifyInput& input, int64_t node) const {
  return input.logits.subspan(static_cast<size_t>(node) * vocab_, vocab_);
}

}  // namespace ft::verify
