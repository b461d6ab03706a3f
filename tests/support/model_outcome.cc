#include "tests/support/model_outcome.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "core/check.h"
#include "core/model.h"
#include "eval/prefill.h"
#include "eval/random_checkpoint.h"

namespace ft::support {

ModelOutcome outcome_of(Backend& backend, const Checkpoint& checkpoint) {
  CacheLimits limits;
  limits.rows = 24;
  limits.sequences = 1;
  limits.context = limits.total_tokens = 256;
  Model model(backend, checkpoint, limits);
  std::mt19937 random(5);
  std::vector<int32_t> tokens(40);
  const auto vocab = static_cast<uint32_t>(model.config().vocab_size);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocab);
  ModelOutcome outcome;
  const SequenceId sequence = model.cache().open(static_cast<int64_t>(tokens.size())).value();
  eval::prefill(model, sequence, tokens, 17, [&](const ForwardOutput& output, int64_t, int64_t count) {
    outcome.logits.insert(outcome.logits.end(), output.logits.begin(), output.logits.end());
    for (const Matrix& hidden : {output.streams, output.auxiliary}) {
      std::vector<float> rows(static_cast<size_t>(hidden.rows * hidden.cols));
      backend.download(rows.data(), hidden.data, rows.size() * sizeof(float));
      outcome.hidden.insert(outcome.hidden.end(), rows.begin(), rows.end());
    }
    const auto routes = model.fetch_routing(count);
    outcome.routes.insert(outcome.routes.end(), routes.begin(), routes.end());
  });
  return outcome;
}

std::string divisible_checkpoint(const TempDir& directory) {
  nlohmann::json config = nlohmann::json::parse(std::ifstream(FT_TEST_DATA "/goldens/tiny-v4/config.json"));
  config["num_attention_heads"] = 16;
  config["o_groups"] = 8;
  config["moe_intermediate_size"] = 1024;
  config["vocab_size"] = 2048;
  const std::string path = directory.file("made.json");
  std::ofstream(path) << config.dump();
  eval::RandomCheckpointOptions options;
  options.config = path;
  options.out = directory.file("made");
  const auto made = eval::make_random_checkpoint(options);
  FT_CHECK(made.has_value(), made.error().message);
  return options.out;
}

}  // namespace ft::support
