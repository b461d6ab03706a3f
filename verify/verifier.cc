#include "verify/verifier.h"

#include "core/check.h"

namespace ft::verify {

void Verified::clear() {
  path.clear();
  emitted.clear();
  samples.clear();
  finish = FinishReason::kNone;
  degenerate = false;
}

void Verifier::verify(const VerifyInput& input, Verified& out) {
  const TokenTree& tree = input.tree;
  FT_CHECK(tree.size() > 0 && input.logits.size() % static_cast<size_t>(tree.size()) == 0, tree.size(),
           input.logits.size());
  FT_CHECK(input.stop.tokens_left >= 1, input.stop.tokens_left);
  const size_t vocab = input.logits.size() / static_cast<size_t>(tree.size());
  const size_t mask_words = input.constraint != nullptr ? (vocab + 31) / 32 : 0;
  mask_.resize(mask_words);

  out.clear();
  for (int32_t node = 0; node != -1;) {
    out.path.push_back(node);
    if (input.constraint != nullptr) input.constraint->fill_mask(mask_);
    const int64_t position = input.anchor_position + tree[node].depth + 1;
    SampleResult& sample = out.samples.emplace_back();
    sampler_.sample(input.logits.subspan(static_cast<size_t>(node) * vocab, vocab), input.params,
                    input.counts, position, mask_, sample);
    out.emitted.push_back(sample.token);
    if (input.counts != nullptr) input.counts->push(sample.token);
    if (sample.degenerate) {
      out.degenerate = true;
      return;
    }
    // The rows after an end are never looked at: a constraint that has ended has nothing to say about them.
    out.finish = input.stop.finish_after(sample.token, std::ssize(out.emitted));
    if (out.finish != FinishReason::kNone) return;
    if (input.constraint != nullptr && !input.constraint->advance(sample.token)) {
      out.degenerate = true;
      return;
    }
    node = tree.child(node, sample.token);
  }
}

}  // namespace ft::verify
