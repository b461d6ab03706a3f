// The one crossing from the engine thread outward: a bounded single-producer single-consumer queue of tokens
// per request.
#pragma once

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "scheduler/request.h"

namespace ft::scheduler {

// One of the likeliest tokens at a position, by the model's raw logits.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;
};

// A drafted token that a step verified.
struct VerifiedNode {
  int32_t token = 0;
  int32_t parent = -1;  // index of an earlier node; -1 = the last token before the step
  int32_t depth = 1;
  float path_probability = 0.0f;  // estimated before verification: that the path to it is accepted
  draft::DraftSource source = draft::DraftSource::kModel;
  bool accepted = false;
};

// What one verify step did for one request. Steps that other requests share took their time for each of them.
struct StepDetail {
  int32_t step = 0;  // TokenEvent::step
  double draft_ms = 0.0;
  double verify_ms = 0.0;  // forward and sampling
  double commit_ms = 0.0;
  std::vector<VerifiedNode> nodes;  // parents precede their children; empty where nothing was drafted
};

struct TokenEvent {
  int32_t token = 0;
  float logprob = 0.0f;           // natural logarithm; only when the request asked for logprobs
  std::vector<TokenLogprob> top;  // most likely first; empty unless asked for
  int32_t step = 0;               // tokens of one verify step share a number
  int32_t node = -1;              // of detail->nodes that drafted it; -1: the target's own choice
  bool of_prompt = false;  // not generated: one of the prompt, with its log probability, before all others
  std::shared_ptr<const StepDetail> detail;  // null unless asked for; tokens of one step share it
};

// The ring holds every token that the request can produce, so the engine never waits for a reader and nothing
// is dropped: its size is fixed at admission (max_tokens), which is the limit.
class TokenStream {
 public:
  // `notify` is called on the engine thread after each step that pushed something, and at the end; it must
  // not block, and must own what it touches: the last call may come after a reader has seen finished().
  TokenStream(int64_t tokens_max, std::function<void()> notify)
      : events_(static_cast<size_t>(tokens_max) + 1), notify_(std::move(notify)) {}

  // --- consumer, one thread at a time ---
  bool pop(TokenEvent& event) { return events_.pop(event); }
  // True once the last token has been pushed; tokens may still be waiting in the ring.
  bool finished() const { return finished_.load(std::memory_order_acquire); }
  // Valid once finished().
  const RequestReport& report() const { return report_; }
  // Asks the engine to drop the request; its memory is free within one step. Any thread, any time, any number
  // of times.
  void cancel() { cancelled_.store(true, std::memory_order_release); }

  // --- producer, the engine thread ---
  void push(TokenEvent event) { events_.push(std::move(event)); }
  // A reader that cannot be told, for want of memory, is gone: its request is dropped.
  void notify() noexcept {
    try {
      if (notify_) notify_();
    } catch (...) {
      cancel();
    }
  }
  void finish(RequestReport report) {
    report_ = std::move(report);
    finished_.store(true, std::memory_order_release);
    notify();
  }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

 private:
  boost::lockfree::spsc_queue<TokenEvent> events_;
  std::function<void()> notify_;
  RequestReport report_;
  std::atomic<bool> finished_{false};
  std::atomic<bool> cancelled_{false};
};

}  // namespace ft::scheduler
