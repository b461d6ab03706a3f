#include "scheduler/speculation/draft_gate.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ft::scheduler {

namespace {

// Gain below which drafting is not worth the change.
constexpr double kMargin = 1.02;
// Steps of drafting over which the price of catching up is spread.
constexpr double kCatchUpSpread = 8.0;
// Rounds of the search for the best set, and the gain below which it ends.
constexpr int kRounds = 3;
constexpr double kSettled = 1.005;
// What a probe is charged at least, as a part of its time: that it pays for itself is an estimate.
constexpr double kLeastCharge = 0.05;
// Drafting steps between two plain ones at least, however close the two are.
constexpr double kPlainEvery = 8.0;

}  // namespace

const AcceptanceHistory& DraftGate::known(const AcceptanceHistory& history) const {
  return history.is_new() && average_.observations > 0.0f ? average_ : history;
}

// Seconds per step of what a request's drafter has to take in before it can go on.
double DraftGate::catch_up(const Request& request) const {
  return costs_.catch_up_seconds(static_cast<double>(request.catch_up_rows)) / kCatchUpSpread;
}

DraftGate::Gain DraftGate::gain(const Request& request, const Step& step, double rate, int depth,
                                double draft_seconds) const {
  const AcceptanceHistory& history = known(*request.history);
  const auto most = static_cast<size_t>(std::max(request.nodes_max, 0));
  // Nothing is known of anybody's drafts yet: they must be seen first.
  if (history.observations == 0.0f) {
    const auto all = static_cast<double>(std::min(AcceptanceHistory::kNodes, most));
    return {all, all, all};
  }
  const auto price = static_cast<float>(rate * std::max(0.0, step.row_seconds - saved(request, step)));
  size_t rows = 0;
  while (rows < std::min(most, history.value.size()) && history.value[rows] > price) ++rows;
  float tokens = history.sum[rows];
  // Beyond what the model was trained for the path goes on as it came, as far as that is true.
  if (depth > depth_.trained && request.nodes_max > depth_.trained) {
    float reach = history.reach * continuation_;
    for (int place = depth_.trained; place < depth && rows < most && (reach *= history.onward) > price;
         ++place) {
      tokens += reach;
      ++rows;
    }
  }
  const auto drafted = static_cast<double>(rows);
  Gain gain{static_cast<double>(tokens) - drafted * static_cast<double>(price), static_cast<double>(tokens),
            drafted};
  gain.net -= rate * (draft_seconds + catch_up(request));
  return gain;
}

DraftGate::BestSet DraftGate::best_set(std::span<const Request> requests, const Step& step, double rate,
                                       int depth) {
  const double first = draft_seconds(1, depth);
  const double next =
      step.able > 1 ? std::max(0.0, (draft_seconds(step.able, depth) - first) / (step.able - 1)) : 0.0;
  const double shared = std::max(0.0, first - next);
  BestSet best;
  best_.assign(requests.size(), 0);
  // The best set at a rate is the one whose members gain at that rate; the rate it reaches is at least as
  // high as any before, and two or three rounds settle it (Dinkelbach's method for ratios).
  for (int round = 0; round < kRounds; ++round) {
    Gain all{.net = -rate * shared, .tokens = step.tokens, .rows = step.rows};
    double own_seconds = 0.0;  // of the requests, beyond the pass and the rows
    int drafted = 0;
    chosen_.assign(requests.size(), 0);
    for (size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].nodes_max <= 0) continue;
      const Gain own = gain(requests[i], step, rate, depth, next);
      if (own.net <= 0.0) continue;
      chosen_[i] = 1;
      all.net += own.net;
      all.tokens += own.tokens;
      all.rows += own.rows;
      own_seconds += catch_up(requests[i]) - own.rows * saved(requests[i], step);
      ++drafted;
    }
    if (all.net <= 0.0 || drafted == 0) break;
    const double seconds = own_seconds + draft_seconds(drafted, depth) + costs_.verify_seconds(all.rows);
    rate = all.tokens / std::max(seconds, 1e-12);
    if (rate <= best.rate) break;
    const bool settled = rate <= kSettled * best.rate;
    best = {rate, seconds};
    best_.swap(chosen_);
    if (settled) break;
  }
  return best;
}

int DraftGate::decide(std::span<const Request> requests, int32_t rows, int32_t emitting,
                      std::vector<uint8_t>& draft) {
  draft.assign(requests.size(), 0);
  look_ = {};
  int32_t able = 0;
  for (const Request& request : requests) able += request.nodes_max > 0 ? 1 : 0;
  if (able == 0 || emitting == 0) return depth_.trained;
  if (!costs_.measured()) {
    for (size_t i = 0; i < requests.size(); ++i) draft[i] = requests[i].nodes_max > 0 ? 1 : 0;
    return depth_.trained;
  }
  const double plain_seconds = costs_.verify_seconds(rows);
  // Time is worth what the requests would make of it in a step of their own: a step that reads prompts emits
  // little, but that makes nothing cheap.
  const auto running = static_cast<double>(requests.size());
  Step step{.rows = static_cast<double>(rows), .able = able};
  step.plain_rate = std::max(emitting / std::max(plain_seconds, 1e-12),
                             running / std::max(costs_.verify_seconds(running), 1e-12));
  step.tokens = step.plain_rate * plain_seconds;
  step.experts_seconds = costs_.experts_seconds(rows);
  int depth = depth_.trained;
  double best_rate = step.plain_rate;
  const std::array<int, 2> passes = {depth_.trained, depth_.most};
  // Until drafts have been seen, as deep as trained; where there is one depth only, once.
  const bool both = depth_.most > depth_.trained && average_.observations > 0.0f;
  for (const int pass : std::span(passes).first(both ? 2 : 1)) {
    // The price of a row depends on how many there are: half of what could be drafted, or all. Where rows get cheaper
    // the more there are, all may pay although none would at the price of half.
    const double all = static_cast<double>(able) * pass;
    double before = 0.0;
    for (const double part : {0.5, 1.0}) {
      const double further = std::max(2.0, part * all);
      if (further == before) continue;
      before = further;
      step.row_seconds = (costs_.verify_seconds(rows + further) - plain_seconds) / further;
      const BestSet set = best_set(requests, step, best_rate, pass);
      if (set.rate <= std::max(best_rate, step.plain_rate * kMargin)) continue;
      best_rate = set.rate;
      depth = pass;
      draft = best_;
      // What a plain step in place of this one gives away.
      lost_ = (1.0 - step.plain_rate / set.rate) * plain_seconds / set.seconds / kProbeShare;
    }
  }
  // A plain step now and then keeps the price of plain steps true.
  const bool drafting = std::ranges::find(draft, 1) != draft.end();
  since_plain_ = drafting ? since_plain_ + 1.0 : 0.0;
  if (drafting && average_.observations > 0.0f && since_plain_ > std::max(lost_, kPlainEvery)) {
    draft.assign(requests.size(), 0);
    since_plain_ = 0.0;
    return depth_.trained;
  }
  // One probe, of the request that has waited longest, as soon as it is paid for.
  const size_t probed = longest_idle(requests, draft);
  if (probed == requests.size()) return depth;
  const Probe probe = probe_of(requests[probed], step, depth);
  probe_seconds_ = probe.seconds;
  if (credit_ < probe.seconds) return depth;
  credit_ -= probe.seconds + costs_.catch_up_seconds(static_cast<double>(requests[probed].catch_up_rows));
  draft[probed] = 1;
  look_ = {probed, probe.nodes};
  return depth;
}

size_t DraftGate::longest_idle(std::span<const Request> requests, std::span<const uint8_t> draft) {
  size_t longest = requests.size();
  for (size_t i = 0; i < requests.size(); ++i)
    if (draft[i] == 0 && requests[i].nodes_max > 0 &&
        (longest == requests.size() ||
         requests[i].history->idle_seconds > requests[longest].history->idle_seconds))
      longest = i;
  return longest;
}

DraftGate::Probe DraftGate::probe_of(const Request& request, const Step& step, int depth) const {
  const double plain = costs_.verify_seconds(step.rows), draft = draft_seconds(1, depth);
  const auto seconds = [&](double nodes) {
    return draft +
           std::max(0.0, costs_.verify_seconds(step.rows + nodes) - plain - nodes * saved(request, step));
  };
  const AcceptanceHistory& history = known(*request.history);
  // Before any drafts were seen the selection says what is verified.
  if (history.observations == 0.0f) return {0, seconds(1.0)};
  int32_t best = 1;
  double best_rate = 0.0;
  const auto most = std::min<int32_t>(request.nodes_max, static_cast<int32_t>(AcceptanceHistory::kNodes));
  for (int32_t nodes = 1; nodes <= most; ++nodes) {
    const double rate = (step.tokens + static_cast<double>(history.sum[static_cast<size_t>(nodes)])) /
                        (plain + seconds(nodes));
    if (rate > best_rate) best = nodes, best_rate = rate;
  }
  const double all = seconds(best);
  const double back = static_cast<double>(history.sum[static_cast<size_t>(best)]) / step.plain_rate;
  return {best, std::max(all - back, kLeastCharge * all)};
}

void DraftGate::spend(std::span<const Request> requests, std::span<const uint8_t> drafted, double seconds) {
  bool idle = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].nodes_max <= 0) continue;
    requests[i].history->idle_seconds = drafted[i] != 0 ? 0.0 : requests[i].history->idle_seconds + seconds;
    idle = idle || drafted[i] == 0;
  }
  // Credit does not pile up while there is nothing to probe.
  const double most =
      4.0 * (draft_seconds(1, depth_.trained) + costs_.verify_seconds(2.0) - costs_.verify_seconds(1.0));
  credit_ = idle ? std::min(credit_ + kProbeShare * seconds, std::max(most, probe_seconds_)) : 0.0;
}

void DraftGate::observe(AcceptanceHistory& history, std::span<const draft::DraftNode> nodes,
                        std::span<const float> probability, int depth) {
  const AcceptanceHistory::Shown shown = AcceptanceHistory::show(nodes, probability, depth, depth_.trained);
  history.observe(shown);
  average_.observe(shown);
  if (depth <= depth_.trained) return;
  float reached = shown.reach;
  float deep = 0.0f;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].depth > depth_.trained) deep += probability[i];
  const float step = std::pow(reached, 1.0f / static_cast<float>(depth_.trained));
  float expected = 0.0f;
  for (int further = depth_.trained; further < depth; ++further) expected += reached *= step;
  // A path that is hardly reached says little about where it would go.
  if (expected > 0.05f) continuation_ += (std::min(deep / expected, 2.0f) - continuation_) / kHistoryMemory;
}

}  // namespace ft::scheduler
