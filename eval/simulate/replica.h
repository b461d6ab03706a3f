// One replica of a simulated deployment: the real scheduler over a virtual executor, with a clock of its own.
#pragma once

#include <memory>
#include <vector>

#include "eval/load/load_figures.h"
#include "eval/simulate/virtual_executor.h"
#include "scheduler/scheduler.h"

namespace ft::eval {

// A request as the simulation knows it.
struct VirtualRequest {
  double at = 0.0;  // seconds
  int64_t prompt_tokens = 1;
  int64_t completion_tokens = 1;
  size_t domain = 0;
};

// How a replica is set up.
struct ReplicaOptions {
  int32_t requests_max = 64;
  int64_t tokens_max = int64_t{1} << 40;  // of all sequences together: the memory for their caches
  int64_t context = 1 << 20;
  int32_t prefill_chunk = 128;
  int32_t tree_nodes = 0;  // as EngineOptions
  int32_t tree_nodes_max = 17;
  draft::TreeShape shape = draft::TreeShape::kBestFirst;
  // Experts cost nothing apart: the selection sees rows only.
  bool blind_to_experts = false;
};

class Replica {
 public:
  // `costs` and `acceptance` must outlive it.
  Replica(const ReplicaOptions& options, const VirtualModel& model, const StepCosts& costs,
          const AcceptanceSource& acceptance, uint64_t seed);

  // Takes a request in at its moment, which must not be before now().
  void submit(const VirtualRequest& request);
  // Runs the next step, from now() on; the clock is then where it ended. False if there is nothing to do.
  bool step();
  // The clock of an idle replica stands still until it is told.
  double now() const { return now_; }
  void wait_until(double at) { now_ = std::max(now_, at); }
  int64_t unfinished() const { return scheduler_.waiting() + scheduler_.running(); }
  // What has ended since the last call.
  std::vector<LoadRequest> take_finished();

  const scheduler::EngineStats& stats() const { return scheduler_.stats(); }

 private:
  struct Running {
    std::shared_ptr<scheduler::TokenStream> stream;
    LoadRequest request;
  };
  static scheduler::EngineOptions engine_options(const ReplicaOptions& options);
  scheduler::Clock::time_point moment() const;
  void drain();

  StepCosts const& costs_;
  VirtualExecutor executor_;
  scheduler::Scheduler scheduler_;
  std::vector<Running> running_;
  std::vector<LoadRequest> finished_;
  double now_ = 0.0;
  uint64_t submitted_ = 0;
};

}  // namespace ft::eval
