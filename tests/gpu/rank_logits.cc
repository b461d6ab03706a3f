#include "tests/gpu/rank_logits.h"

#include <random>

#include "core/weights.h"
#include "eval/prefill.h"

namespace ft::test {

std::vector<float> rank_logits(Backend& backend, const std::string& checkpoint) {
  const auto loaded = Checkpoint::load(checkpoint, backend).value();
  CacheLimits limits;
  limits.rows = 24;
  limits.sequences = 1;
  limits.context = limits.total_tokens = 256;
  Model model(backend, *loaded, limits);
  std::mt19937 random(5);
  const auto vocabulary = static_cast<uint32_t>(model.config().vocab_size);
  std::vector<int32_t> tokens(60);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocabulary);
  std::vector<float> all;
  for (const int64_t rows : {24, 7, 1}) {  // the steps of one row are recorded and replayed
    const auto logits = eval::sequence_logits(model, tokens, rows).value();
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

}  // namespace ft::test
