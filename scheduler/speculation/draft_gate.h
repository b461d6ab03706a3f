// Whether to draft for a request, decided before there is a draft: drafting costs time too. Where it does not
// pay, a request falls back to plain decoding at no cost.
//
// Each request has an acceptance history; one without drafts so far uses the average of all. The gate asks
// what selecting nodes would be worth at the current load if the next drafts were like the last ones
// (dspark.md 3.2, confidences of steps before). It drafts for the requests that raise the expected tokens per
// second, deeper than the model was trained for if that raises them further. A request that is not drafted
// for is probed now and then, within a fixed part of the time, so that a change of content or load is
// noticed. A probe also verifies as many nodes as would come nearest to paying, so that the price of that many rows
// is seen where no step would have them otherwise; it is charged what it is expected to lose.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/speculation/acceptance_history.h"
#include "scheduler/speculation/cost_model.h"

namespace ft::scheduler {

class DraftGate {
 public:
  // Part of the time that probing may cost.
  static constexpr double kProbeShare = 0.005;

  DraftGate(const CostModel& costs, draft::ModelDepth depth) : costs_(costs), depth_(depth) {}

  struct Request {
    AcceptanceHistory* history = nullptr;
    int32_t nodes_max = 0;        // drafted rows at most; 0: not to be drafted for
    int64_t catch_up_rows = 0;    // that the drafter has to take in first, beyond those of the last step
    float expert_overlap = 0.0f;  // share of a row's experts that rows before it have chosen too
  };

  // Fills draft[i]: whether to propose for requests[i], all that run. `rows`: of the step without drafts;
  // `emitting`: requests that will emit a token. Returns how deep the model is to draft.
  int decide(std::span<const Request> requests, int32_t rows, int32_t emitting, std::vector<uint8_t>& draft);
  // Of the last decision: nodes of the probed request that are to be verified, whether they pay or not.
  struct Look {
    size_t request = 0;
    int32_t nodes = 0;  // 0: nothing is looked at
  };
  const Look& look() const { return look_; }
  // A step has taken `seconds`.
  void spend(std::span<const Request> requests, std::span<const uint8_t> drafted, double seconds);
  // What a request's draft, `depth` deep, turned out to be. The average history learns from it as well.
  void observe(AcceptanceHistory& history, std::span<const draft::DraftNode> nodes,
               std::span<const float> probability, int depth);

 private:
  // A step without drafts, and what one more row adds to it.
  struct Step {
    double rows = 0.0;
    double tokens = 0.0;  // that its time is worth
    double plain_rate = 0.0;
    double row_seconds = 0.0;
    double experts_seconds = 0.0;  // of that, what its experts take
    int32_t able = 0;              // requests that may be drafted for
  };
  // What drafting for one request is expected to give.
  struct Gain {
    double net = 0.0;     // expected tokens, less those that its time would give at the current rate
    double tokens = 0.0;  // expected, of its draft
    double rows = 0.0;
  };
  struct BestSet {
    double rate = 0.0;     // tokens per second; 0: nobody gains
    double seconds = 0.0;  // of the step
  };
  // `draft_seconds`: that one more request adds to a pass.
  // (Asked for so often that a call would be noticed; used in one place.)
  inline Gain gain(const Request& request, const Step& step, double rate, int depth,
                   double draft_seconds) const;
  // Who is to be drafted for in passes `depth` deep, in best_, if that gives more than `rate`.
  BestSet best_set(std::span<const Request> requests, const Step& step, double rate, int depth);
  double draft_seconds(double requests, int depth) const { return costs_.draft_seconds(requests * depth); }
  double catch_up(const Request& request) const;
  // Seconds that a drafted row of the request takes less than one of its own.
  static double saved(const Request& request, const Step& step) {
    return static_cast<double>(request.expert_overlap) * step.experts_seconds;
  }
  const AcceptanceHistory& known(const AcceptanceHistory& history) const;
  // The request without a draft that has waited longest for one; draft.size() if none.
  static size_t longest_idle(std::span<const Request> requests, std::span<const uint8_t> draft);
  // A probe of a request: how many of its nodes are verified, and the seconds that this is expected to lose.
  struct Probe {
    int32_t nodes = 0;
    double seconds = 0.0;
  };
  Probe probe_of(const Request& request, const Step& step, int depth) const;

  const CostModel& costs_;
  draft::ModelDepth depth_;
  AcceptanceHistory average_;
  // Expected tokens beyond the trained depth, relative to a path that goes on as it came.
  float continuation_ = 1.0f;
  double credit_ = 0.0;         // seconds that probing may spend
  double probe_seconds_ = 0.0;  // that the probe which is due is expected to lose
  Look look_;
  double lost_ = 0.0;         // part of a step that a plain step instead would lose, over kProbeShare
  double since_plain_ = 0.0;  // steps since the last one without any draft
  std::vector<uint8_t> best_;
  std::vector<uint8_t> chosen_;
};

}  // namespace ft::scheduler
