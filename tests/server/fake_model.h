// A served model without a model: a tokenizer of bytes and chosen words, and an engine that follows a script.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "encoding/chat_profile.h"
#include "encoding/text_tokens.h"
#include "encoding/tokenizer.h"
#include "server/generation/generation_backend.h"
#include "server/generation/served_model.h"

namespace ft::server::testing {

// Control tokens 0..6, then 256 single bytes, then words that a test adds.
class ByteTokenizer : public encoding::Tokenizer {
 public:
  static constexpr int32_t kBosId = 0, kEosId = 1, kThinkOpenId = 2, kThinkCloseId = 3, kUserId = 4,
                           kAssistantId = 5, kDsmlId = 6, kFirstByte = 7;

  ByteTokenizer() {
    for (const std::string_view text :
         {encoding::kBosToken, encoding::kEosToken, encoding::kThinkOpenToken, encoding::kThinkCloseToken,
          encoding::kUserToken, encoding::kAssistantToken, encoding::kDsmlToken}) {
      tokens_.emplace_back(text);
    }
    for (int byte = 0; byte < 256; ++byte) tokens_.push_back(std::string(1, static_cast<char>(byte)));
  }

  std::unique_ptr<encoding::EncodeJob> start_encode(std::string_view text,
                                                    std::span<const encoding::ByteRange> client,
                                                    size_t max_tokens) const override {
    return std::make_unique<Job>(*this, text, client, max_tokens);
  }
  size_t longest_token() const override {
    size_t longest = 0;
    for (const std::string& token : tokens_) longest = std::max(longest, token.size());
    return longest;
  }
  std::string_view token_bytes(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? std::string_view(tokens_[static_cast<size_t>(id)])
                                        : std::string_view();
  }
  std::optional<int32_t> id_of(std::string_view content) const override {
    for (int32_t id = 0; id < kFirstByte; ++id) {
      if (tokens_[static_cast<size_t>(id)] == content) return id;
    }
    return std::nullopt;
  }
  bool is_special(int32_t id) const override { return id < kFirstByte; }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }

  // A token of any bytes.
  int32_t add(std::string bytes) {
    tokens_.push_back(std::move(bytes));
    return vocab_size() - 1;
  }
  // One token per byte.
  static std::vector<int32_t> bytes(std::string_view text) {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(kFirstByte + static_cast<unsigned char>(c));
    return ids;
  }

 private:
  class Job : public encoding::EncodeJob {
   public:
    Job(const ByteTokenizer& tokenizer, std::string_view text, std::span<const encoding::ByteRange> client,
        size_t max_tokens)
        : EncodeJob(text, client, tokenizer.longest_token(), max_tokens), tokens_(tokenizer.tokens_) {}

   private:
    void step() override {
      int32_t found = -1;
      for (int32_t id = 0; id < kFirstByte; ++id) {
        const std::string& token = tokens_[static_cast<size_t>(id)];
        if (!text_.substr(at_).starts_with(token)) continue;
        const bool forged =
            std::any_of(client_.begin(), client_.end(), [&](const encoding::ByteRange& range) {
              return range.begin < at_ + token.size() && range.end > at_;
            });
        if (!forged) found = id;
      }
      if (found < 0) found = kFirstByte + static_cast<unsigned char>(text_[at_]);
      ids_.push_back(found);
      at_ += tokens_[static_cast<size_t>(found)].size();
    }

    const std::deque<std::string>& tokens_;
  };

  std::deque<std::string> tokens_;  // a deque, so that views stay valid
};

// What the fake engine does for a request.
struct Script {
  std::vector<std::vector<int32_t>> steps;  // tokens of each step
  scheduler::FinishReason reason = scheduler::FinishReason::kStop;
  std::string error;
  bool endless = false;  // begins again after the last step until it is cancelled
};

// One step of one token per byte of `text`, `per_step` bytes each, and EOS.
inline Script say(std::string_view text, size_t per_step = 4) {
  Script script;
  for (size_t at = 0; at < text.size(); at += per_step) {
    script.steps.push_back(ByteTokenizer::bytes(text.substr(at, per_step)));
  }
  script.steps.push_back({ByteTokenizer::kEosId});
  return script;
}

inline scheduler::RequestReport report_of(const Script& script, size_t steps_done, int64_t prompt_tokens) {
  scheduler::RequestReport report;
  report.finish_reason = script.reason;
  report.error = script.error;
  report.prompt_tokens = prompt_tokens;
  report.cached_tokens = prompt_tokens / 2;
  report.drafter = "dspark";
  report.fallbacks = {0, 2, 1, 0};
  report.preemptions = 1;
  for (size_t i = 0; i < steps_done; ++i) {
    const auto size = static_cast<int64_t>(script.steps[i % script.steps.size()].size());
    report.completion_tokens += size;
    report.steps += 1;
    report.drafted += 3;
    report.accepted += size - 1;
    report.accepted_histogram[static_cast<size_t>(std::min<int64_t>(size - 1, scheduler::kReportDepth))] += 1;
  }
  if (script.reason == scheduler::FinishReason::kStop) report.stop_token = ByteTokenizer::kEosId;
  return report;
}

// Runs all scripts in rounds on one thread, as an engine would.
class ScriptedBackend : public GenerationBackend {
 public:
  using Director = std::function<Script(const scheduler::GenerateRequest&)>;

  explicit ScriptedBackend(Director director,
                           std::chrono::milliseconds step_time = std::chrono::milliseconds(0),
                           size_t queue_max = 64)
      : director_(std::move(director)), step_time_(step_time), queue_max_(queue_max) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~ScriptedBackend() override {
    thread_.request_stop();
    changed_.notify_all();
    thread_.join();
    for (Running& running : running_) end(running, scheduler::FinishReason::kCancelled);
  }

  Result<std::shared_ptr<scheduler::TokenStream>> submit(scheduler::GenerateRequest request,
                                                         std::function<void()> notify) override {
    const std::lock_guard lock(mutex_);
    if (running_.size() >= queue_max_) return fail(ErrorCode::kOverloaded, "the queue is full");
    if (refusal_) return tl::make_unexpected(*refusal_);
    const auto told = request.prompt_logprobs >= 0 ? static_cast<int64_t>(request.prompt.size()) : 0;
    auto stream = std::make_shared<scheduler::TokenStream>(told + request.max_tokens, std::move(notify));
    for (size_t i = 1; i < static_cast<size_t>(told); ++i) {
      scheduler::TokenEvent event;
      event.token = request.prompt[i];
      event.logprob = -0.125F * static_cast<float>(i);
      event.of_prompt = true;
      stream->push(std::move(event));
    }
    running_.push_back({request, director_(request), stream, 0, 0});
    requests_.push_back(std::move(request));
    changed_.notify_all();
    return stream;
  }
  scheduler::EngineStats stats() const override {
    const std::lock_guard lock(mutex_);
    scheduler::EngineStats stats = stats_;
    stats.requests_running = static_cast<int64_t>(running_.size());
    stats.requests_cancelled = cancelled_;
    stats.requests_finished = finished_;
    return stats;
  }
  // What stats() says of everything but requests.
  void set_stats(const scheduler::EngineStats& stats) {
    const std::lock_guard lock(mutex_);
    stats_ = stats;
  }
  // What submit() says from now on.
  void refuse_with(Error error) {
    const std::lock_guard lock(mutex_);
    refusal_ = std::move(error);
  }
  std::vector<scheduler::GenerateRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  int64_t running() const { return stats().requests_running; }
  int64_t cancelled() const { return stats().requests_cancelled; }

  // While held, requests wait as in a queue: nothing comes.
  void hold(bool on) {
    const std::lock_guard lock(mutex_);
    held_ = on;
    changed_.notify_all();
  }

 private:
  struct Running {
    scheduler::GenerateRequest request;
    Script script;
    std::shared_ptr<scheduler::TokenStream> stream;
    size_t step = 0;
    int64_t pushed = 0;
  };

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(1),
                        [&] { return !running_.empty() || stop.stop_requested(); });
      for (size_t i = 0; i < running_.size();) {
        if (advance(running_[i])) {
          running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
          ++i;
        }
      }
      lock.unlock();
      if (step_time_.count() > 0) std::this_thread::sleep_for(step_time_);
    }
  }

  // True when the request has ended.
  bool advance(Running& running) {
    using scheduler::FinishReason;
    if (running.stream->cancelled()) return end(running, FinishReason::kCancelled);
    if (held_) return false;
    const Script& script = running.script;
    if (!script.endless && running.step >= script.steps.size()) return end(running, script.reason);
    for (const int32_t token : script.steps[running.step % script.steps.size()]) {
      if (running.pushed >= running.request.max_tokens) return end(running, FinishReason::kLength);
      scheduler::TokenEvent event;
      event.token = token;
      event.step = static_cast<int32_t>(running.step);
      if (running.request.sampling.logprobs >= 0) {
        event.logprob = -0.5F;
        for (int k = 0; k < running.request.sampling.logprobs; ++k) {
          event.top.push_back({ByteTokenizer::kFirstByte + 'a' + k, -0.25F * static_cast<float>(k + 1)});
        }
      }
      running.stream->push(std::move(event));
      ++running.pushed;
    }
    ++running.step;
    if (!script.endless && running.step >= script.steps.size()) return end(running, script.reason);
    running.stream->notify();
    return false;
  }

  bool end(Running& running, scheduler::FinishReason reason) {
    scheduler::RequestReport report =
        report_of(running.script, running.step, static_cast<int64_t>(running.request.prompt.size()));
    report.finish_reason = reason;
    report.completion_tokens = running.pushed;
    running.stream->finish(std::move(report));
    ++(reason == scheduler::FinishReason::kCancelled ? cancelled_ : finished_);
    return true;
  }

  Director director_;
  std::chrono::milliseconds step_time_;
  size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Running> running_;
  std::vector<scheduler::GenerateRequest> requests_;
  int64_t cancelled_ = 0;
  int64_t finished_ = 0;
  bool held_ = false;
  scheduler::EngineStats stats_;
  std::optional<Error> refusal_;
  std::jthread thread_;
};

// `backend` may be null where nothing is generated.
inline std::shared_ptr<ServedModel> fake_model(std::unique_ptr<GenerationBackend> backend,
                                               int64_t context = 4096) {
  auto model = std::make_shared<ServedModel>();
  model->names = {"fake-v4", "alias"};
  model->path = "/models/fake-v4";
  model->created = 1700000000;
  model->context = context;
  model->default_max_tokens = 1024;
  model->thinking = false;
  model->drafter = "dspark";
  model->drafters = {"dspark", "ngram", "dspark+ngram"};
  model->tree_nodes = 8;
  model->tokenizer = std::make_unique<ByteTokenizer>();
  model->vocabulary = std::make_shared<const grammar::Vocabulary>(
      encoding::text_tokens(*model->tokenizer, model->tokenizer->vocab_size()), model->eos);
  model->call_vocabulary = std::make_shared<const grammar::Vocabulary>(
      encoding::text_tokens(*model->tokenizer, model->tokenizer->vocab_size(), encoding::kDsmlToken),
      model->eos);
  model->backend = std::move(backend);
  return model;
}

}  // namespace ft::server::testing
