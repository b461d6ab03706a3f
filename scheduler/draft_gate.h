// Whether to draft at all, before there is a draft: proposing costs time too, and where it does not pay a
// request falls back to plain decoding at no cost.
//
// Per request, a falling curve of how likely the best, second best, ... of its drafted nodes were on the
// path, averaged over its recent drafts; a request without any starts from the average of all. The gate asks
// what a selection over these curves would be worth at the current load (dspark.md 3.2: confidences of steps
// before) and drafts for the requests that raise the expected rate, deeper than the model was trained for if
// that raises it further. Requests that are not drafted for are probed now and then, within a fixed share of
// time, so that a change of content or load is noticed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/cost_model.h"

namespace ft::scheduler {

// What is known of a request's drafts. Part of the request's state.
struct DraftOutlook {
  static constexpr size_t kNodes = 16;

  // Path probability of the n-th best node down to the trained depth, falling.
  std::array<float, kNodes> value{};
  std::array<float, kNodes + 1> sum{};  // of the first n of them: asked for often, changed seldom
  float reach = 0.0f;                   // of the best one at that depth
  float onward = 0.0f;                  // per depth: the root of reach
  float observations = 0.0f;
  double idle_seconds = 0.0;  // spent in steps since the last draft

  // What one drafted tree shows.
  struct Shown {
    std::array<float, kNodes> best{};  // path probabilities down to the trained depth, falling
    size_t count = 0;                  // of these
    float reach = 0.0f;
    int trained_depth = 1;
    bool whole = true;  // whether it could be as deep as the model was trained for
  };
  // `probability`: estimates of the nodes of a tree that could be `depth` deep.
  static Shown show(std::span<const draft::DraftNode> nodes, std::span<const float> probability, int depth,
                    int trained_depth);
  // What a tree lacks that had to be shorter than the model was trained for is not taken for bad.
  void observe(const Shown& shown);
  // Whether too little has been seen to tell it from others.
  bool is_new() const;
};

class DraftGate {
 public:
  // Share of the time that probing may cost.
  static constexpr double kProbeShare = 0.005;

  DraftGate(const CostModel& costs, draft::ModelDepth depth) : costs_(costs), depth_(depth) {}

  struct Request {
    DraftOutlook* outlook = nullptr;
    int32_t nodes_max = 0;        // drafted rows at most; 0: not to be drafted for
    int64_t catch_up_rows = 0;    // that the drafter has to take in first, beyond those of the last step
    float expert_overlap = 0.0f;  // share of a row's experts that the row before it has chosen too
  };

  // Fills draft[i]: whether to propose for requests[i], all that run. `rows`: of the step without drafts;
  // `emitting`: requests that will emit a token. Returns how deep the model is to draft.
  int decide(std::span<const Request> requests, int32_t rows, int32_t emitting, std::vector<uint8_t>& draft);
  // A step has taken `seconds`.
  void spend(std::span<const Request> requests, std::span<const uint8_t> drafted, double seconds);
  // What a request's draft, `depth` deep, turned out to be. The average outlook learns from it as well.
  void observe(DraftOutlook& outlook, std::span<const draft::DraftNode> nodes,
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
  // Of one request's drafts at a rate: what they are worth in tokens beyond what their time is, and how many.
  struct Gain {
    double worth = 0.0;
    double tokens = 0.0;
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
  const DraftOutlook& known(const DraftOutlook& outlook) const;

  const CostModel& costs_;
  draft::ModelDepth depth_;
  DraftOutlook average_;
  // Expected tokens beyond the trained depth, relative to a path that goes on as it came.
  float continuation_ = 1.0f;
  double credit_ = 0.0;       // seconds that probing may spend
  double lost_ = 0.0;         // share of a step that a plain step instead would lose, over kProbeShare
  double since_plain_ = 0.0;  // steps since the last one without any draft
  std::vector<uint8_t> best_;
  std::vector<uint8_t> chosen_;
};

}  // namespace ft::scheduler
