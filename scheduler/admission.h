// Who takes part in a step: the queue, admission, memory and preemption.
//
// Requests are served by priority, then in order of arrival. A large request at the head of the queue waits for room
// and is not overtaken for ever. When memory runs out, the last in line gives its own up: the first always gets what
// it needs, so that something always finishes.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "scheduler/engine_options.h"
#include "scheduler/engine_stats.h"
#include "scheduler/memory/sequence_memory.h"
#include "scheduler/moving_average.h"
#include "scheduler/running_request.h"

namespace ft::scheduler {

class Admission {
 public:
  // Both must outlive it.
  Admission(const EngineOptions& options, SequenceStore& store, EngineStats& stats);

  void enqueue(std::unique_ptr<RequestState> request);
  // Ends cancelled requests.
  void drop_cancelled(Clock::time_point now);
  // Lets in what fits. `row_seconds`: what computing a prompt row again would take. A request for which the host has no
  // memory ends with an error.
  void admit(Clock::time_point now, double row_seconds);
  // Gives every running request the pages that the step may fill, suspending others where there are too few.
  void make_room(double row_seconds);
  // Suspends the last in line. False if nothing runs.
  bool suspend_last(bool keep);

  // Ends a request. Its stream is told; it still has to be taken out (remove_finished).
  void finish(RequestState& state, FinishReason reason, Clock::time_point now);
  void remove_finished();
  // Ends everything that waits, and everything that runs.
  void finish_waiting(FinishReason reason, const char* error, Clock::time_point now);
  void finish_running(FinishReason reason, const char* error, Clock::time_point now);
  // Ends all of them with an error and leaves their memory as it is.
  void abandon_all(const char* error, Clock::time_point now) noexcept;

  std::vector<RunningRequest>& running() { return running_; }
  const std::vector<RunningRequest>& running() const { return running_; }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  SequenceMemory& memory() { return memory_; }
  const SequenceStore& store() const { return store_; }

  void check_integrity() const;

 private:
  bool admit_one(RequestState& state, Clock::time_point now);
  bool admit_preempting(RequestState& state, Clock::time_point now, double row_seconds);
  void insert_running(RunningRequest request) noexcept;
  void begin(RequestState& state, Clock::time_point now);
  int64_t room_for(const RequestState& state) const;
  bool keeping_is_cheaper(const RequestState& state, double row_seconds);
  void update_gauges();

  const EngineOptions& options_;
  SequenceStore& store_;
  EngineStats& stats_;
  SequenceMemory memory_;
  std::deque<std::unique_ptr<RequestState>> waiting_;  // in the order of comes_before
  std::vector<RunningRequest> running_;                // in the order of comes_before
  int64_t arrivals_ = 0;
  MovingAverage saved_byte_seconds_;  // of moving one byte of a sequence to the host
};

}  // namespace ft::scheduler
