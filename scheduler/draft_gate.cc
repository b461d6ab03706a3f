#include "scheduler/draft_gate.h"

#include <algorithm>
#include <cmath>

namespace ft::scheduler {

namespace {

// Drafts that an outlook remembers, and how many make a request's own better than everybody's.
constexpr float kMemory = 8.0f;
constexpr float kOwnFrom = 2.0f;
// Gain below which drafting is not worth the change.
constexpr double kMargin = 1.02;
// Steps of drafting over which the price of catching up is spread.
constexpr double kCatchUpSpread = 8.0;
// Drafting steps between two plain ones at least, however close the two are.
constexpr double kPlainEvery = 8.0;

// Path probability of the most probable node at this depth, 0 if there is none.
float reached_at(std::span<const draft::DraftNode> nodes, std::span<const float> probability, int depth) {
  float reached = 0.0f;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].depth == depth) reached = std::max(reached, probability[i]);
  return reached;
}

}  // namespace

void DraftOutlook::observe(std::span<const draft::DraftNode> nodes, std::span<const float> probability,
                           int trained_depth) {
  std::array<float, kNodes> best{};
  for (size_t i = 0; i < nodes.size(); ++i) {
    const float p = probability[i];
    if (p <= best.back() || nodes[i].depth > trained_depth) continue;
    size_t place = kNodes - 1;
    for (; place > 0 && best[place - 1] < p; --place) best[place] = best[place - 1];
    best[place] = p;
  }
  observations = std::min(observations + 1.0f, kMemory);
  for (size_t i = 0; i < kNodes; ++i) value[i] += (best[i] - value[i]) / observations;
  reach += (reached_at(nodes, probability, trained_depth) - reach) / observations;
}

const DraftOutlook& DraftGate::known(const DraftOutlook& outlook) const {
  return outlook.observations >= kOwnFrom || average_.observations == 0.0f ? outlook : average_;
}

// Seconds per step of what a request's drafter has to take in before it can go on.
double DraftGate::catch_up(const Request& request) const {
  return costs_.catch_up_seconds(static_cast<double>(request.catch_up_rows)) / kCatchUpSpread;
}

double DraftGate::gain(const Request& request, double rate, double row_seconds, double draft_seconds,
                       double* tokens, double* rows) const {
  *tokens = 0.0;
  *rows = 0.0;
  const DraftOutlook& outlook = known(*request.outlook);
  const size_t most = std::min(DraftOutlook::kNodes, static_cast<size_t>(std::max(request.nodes_max, 0)));
  // Nothing is known of anybody's drafts yet: they must be seen first.
  if (outlook.observations == 0.0f) {
    *tokens = *rows = static_cast<double>(most);
    return static_cast<double>(most);
  }
  double sum = -rate * draft_seconds;
  for (size_t i = 0; i < most; ++i) {
    const double worth = static_cast<double>(outlook.value[i]) - rate * row_seconds;
    if (worth <= 0.0) break;
    sum += worth;
    *tokens += static_cast<double>(outlook.value[i]);
    *rows += 1.0;
  }
  return sum;
}

double DraftGate::deep_gain(const Request& request, double rate, double row_seconds) const {
  const DraftOutlook& outlook = known(*request.outlook);
  if (request.nodes_max <= depth_.trained || outlook.reach <= 0.0f) return 0.0;
  const double step = std::pow(static_cast<double>(outlook.reach), 1.0 / depth_.trained);
  double sum = 0.0;
  double probability = static_cast<double>(outlook.reach);
  for (int depth = depth_.trained; depth < depth_.most; ++depth) {
    probability *= step;
    const double worth = probability * static_cast<double>(continuation_) - rate * row_seconds;
    if (worth <= 0.0) break;
    sum += worth;
  }
  return sum;
}

int DraftGate::decide(std::span<const Request> requests, int32_t rows, int32_t emitting,
                      std::vector<uint8_t>& draft) {
  draft.assign(requests.size(), 0);
  chosen_.assign(requests.size(), 0);
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
  const double plain_rate = std::max(emitting / std::max(plain_seconds, 1e-12),
                                     running / std::max(costs_.verify_seconds(running), 1e-12));
  const double worth = plain_rate * plain_seconds;
  const double reach = std::max(2.0, static_cast<double>(able));
  const double row_seconds = (costs_.verify_seconds(rows + reach) - plain_seconds) / reach;
  const double first_draft = draft_seconds(1);
  const double next_draft = able > 1 ? std::max(0.0, (draft_seconds(able) - first_draft) / (able - 1)) : 0.0;
  const double shared_draft = std::max(0.0, first_draft - next_draft);
  // The best set at a rate is the one whose members gain at that rate; the rate it reaches is at least as
  // high as any before, and two or three rounds settle it (Dinkelbach's method for ratios).
  double rate = plain_rate;
  double best_rate = plain_rate * kMargin;
  for (int round = 0; round < 3; ++round) {
    double gained = -rate * shared_draft;
    double tokens = worth;
    double drafted_rows = 0.0;
    double caught_up = 0.0;
    int32_t drafted = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      double own_tokens = 0.0;
      double own_rows = 0.0;
      const double own = requests[i].nodes_max > 0
                             ? gain(requests[i], rate, row_seconds, next_draft + catch_up(requests[i]),
                                    &own_tokens, &own_rows)
                             : 0.0;
      chosen_[i] = own > 0.0 ? 1 : 0;
      if (chosen_[i] == 0) continue;
      gained += own;
      tokens += own_tokens;
      drafted_rows += own_rows;
      caught_up += catch_up(requests[i]);
      ++drafted;
    }
    if (gained <= 0.0 || drafted == 0) break;
    const double seconds = caught_up + draft_seconds(drafted) + costs_.verify_seconds(rows + drafted_rows);
    rate = tokens / seconds;
    // What a plain step in place of this one gives away.
    lost_ = (1.0 - plain_rate / rate) * plain_seconds / seconds / kProbeShare;
    if (rate <= best_rate) break;
    best_rate = rate;
    draft = chosen_;
  }
  // A plain step now and then keeps the price of plain steps true.
  const bool drafting = std::ranges::find(draft, 1) != draft.end();
  since_plain_ = drafting ? since_plain_ + 1.0 : 0.0;
  if (drafting && average_.observations > 0.0f && since_plain_ > std::max(lost_, kPlainEvery)) {
    draft.assign(requests.size(), 0);
    since_plain_ = 0.0;
    return depth_.trained;
  }
  int depth = depth_.trained;
  if (drafting && depth_.most > depth_.trained && average_.observations > 0.0f) {
    const auto drafted = static_cast<double>(std::ranges::count(draft, 1));
    double gained = -best_rate * (costs_.draft_seconds(drafted * depth_.most) - draft_seconds(drafted));
    for (size_t i = 0; i < requests.size(); ++i)
      if (draft[i] != 0) gained += deep_gain(requests[i], best_rate, row_seconds);
    if (gained > 0.0) depth = depth_.most;
  }
  // One probe, of the request that has waited longest, as soon as it is paid for.
  if (credit_ < first_draft + row_seconds) return depth;
  size_t longest = requests.size();
  for (size_t i = 0; i < requests.size(); ++i)
    if (draft[i] == 0 && requests[i].nodes_max > 0 &&
        (longest == requests.size() ||
         requests[i].outlook->idle_seconds > requests[longest].outlook->idle_seconds))
      longest = i;
  if (longest == requests.size()) return depth;
  // All of what it costs, although some of it comes back in tokens.
  const double probe_seconds = first_draft + row_seconds +
                               costs_.catch_up_seconds(static_cast<double>(requests[longest].catch_up_rows));
  credit_ -= probe_seconds;
  draft[longest] = 1;
  return depth;
}

void DraftGate::spend(std::span<const Request> requests, std::span<const uint8_t> drafted, double seconds) {
  bool idle = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].nodes_max <= 0) continue;
    requests[i].outlook->idle_seconds = drafted[i] != 0 ? 0.0 : requests[i].outlook->idle_seconds + seconds;
    idle = idle || drafted[i] == 0;
  }
  // Credit does not pile up while there is nothing to probe.
  const double most = 4.0 * (draft_seconds(1) + costs_.verify_seconds(2.0) - costs_.verify_seconds(1.0));
  credit_ = idle ? std::min(credit_ + kProbeShare * seconds, std::max(most, 0.0)) : 0.0;
}

void DraftGate::observe(DraftOutlook& outlook, std::span<const draft::DraftNode> nodes,
                        std::span<const float> probability, int depth) {
  outlook.observe(nodes, probability, depth_.trained);
  average_.observe(nodes, probability, depth_.trained);
  if (depth <= depth_.trained) return;
  float reached = reached_at(nodes, probability, depth_.trained);
  float deep = 0.0f;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].depth > depth_.trained) deep += probability[i];
  const float step = std::pow(reached, 1.0f / static_cast<float>(depth_.trained));
  float expected = 0.0f;
  for (int further = depth_.trained; further < depth; ++further) expected += reached *= step;
  // A path that is hardly reached says little about where it would go.
  if (expected > 0.05f) continuation_ += (std::min(deep / expected, 2.0f) - continuation_) / kMemory;
}

}  // namespace ft::scheduler
