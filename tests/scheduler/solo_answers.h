// What the target alone says to a request: the answer that every schedule has to give.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/scheduler/engine_harness.h"
#include "tests/support/drafter_choice.h"
#include "tests/verify/scripted_constraint.h"

namespace ft::scheduler {

// A request that can be made any number of times: a constraint is used up by the run that it is given to.
struct Ask {
  GenerateRequest request;
  int32_t turns = 0;  // > 1: the n-th token must be n modulo `turns`

  GenerateRequest make(int64_t vocab) const {
    GenerateRequest made = request;
    if (turns > 1)
      made.constraint = std::make_shared<verify::ScriptedConstraint>(
          vocab, [n = turns](const std::vector<int32_t>& history, int32_t token) {
            return token % n == static_cast<int32_t>(history.size()) % n;
          });
    return made;
  }

  // Everything that the answer depends on.
  std::string content() const {
    const verify::SamplingParams& s = request.sampling;
    std::string text =
        fmt::format("{} {} | {} {} {} {} {} {} {} {} {} | {} |", request.max_tokens, turns, s.temperature,
                    s.top_k, s.top_p, s.min_p, s.repetition_penalty, s.presence_penalty, s.frequency_penalty,
                    s.seed, s.logprobs, request.ignore_eos);
    for (int32_t token : request.prompt) text += fmt::format(" {}", token);
    text += " |";
    for (int32_t token : request.stop_tokens) text += fmt::format(" {}", token);
    for (const auto& [token, bias] : s.logit_bias) text += fmt::format(" {}:{}", token, bias);
    return text;
  }
};

// Tokens with what was said of them; logprobs as bits, because equal means equal.
struct Answer {
  struct Token {
    int32_t token = 0;
    float logprob = 0.0f;
    std::vector<std::pair<int32_t, float>> top;
    bool operator==(const Token&) const = default;
  };
  std::vector<Token> tokens;
  FinishReason finish = FinishReason::kError;
  int32_t stop_token = -1;

  // Takes what has arrived; true once the stream has ended.
  bool read(TokenStream& stream) {
    const bool finished = stream.finished();
    TokenEvent event;
    while (stream.pop(event)) {
      Token& token = tokens.emplace_back(Token{event.token, event.logprob, {}});
      for (const TokenLogprob& top : event.top) token.top.emplace_back(top.token, top.logprob);
    }
    if (finished) {
      finish = stream.report().finish_reason;
      stop_token = stream.report().stop_token;
    }
    return finished;
  }
};

// An engine that serves one request at a time, without drafts, batches, shared prefixes or preemption.
class SoloAnswers {
 public:
  SoloAnswers(const std::string& model, int64_t context)
      : backend_(make_cpu_backend(Numerics::kOfficial, 1)),
        checkpoint_(Checkpoint::load(model, *backend_).value()) {
    EngineOptions options;
    options.max_sequences = 1;
    options.context = context;
    options.batch_rows = options.prefill_chunk = 256;
    options.drafter = support::drafter("none");
    options.tree_nodes = 1;
    options.prefix_cache_bytes = 0;
    loop_ = make_loop(*backend_, *checkpoint_, options);
  }

  const Answer& to(const Ask& ask) {
    const auto [found, fresh] = answers_.try_emplace(ask.content());
    if (!fresh) return found->second;
    GenerateRequest request = ask.make(checkpoint_->config().vocab_size);
    request.speculation = {};
    request.fork_group = 0;
    request.fork_count = 1;
    const auto stream = enqueue(*loop_, std::move(request));
    while (loop_->step()) {
    }
    FT_CHECK(found->second.read(*stream));
    return found->second;
  }
  size_t size() const { return answers_.size(); }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<EngineLoop> loop_;
  std::map<std::string, Answer> answers_;
};

}  // namespace ft::scheduler
