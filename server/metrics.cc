#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

#include "server/version.h"

namespace ft::server {
namespace {

using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Seconds; the buckets of vLLM's series, so that its dashboards work.
const Histogram::BucketBoundaries kFirstTokenBuckets{0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                                     0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                                     20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
const Histogram::BucketBoundaries kRequestBuckets{0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                                  5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                                  60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
const Histogram::BucketBoundaries kTokenBuckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
                                                0.1,   0.15,   0.2,   0.3,  0.4,   0.5,  0.75,
                                                1.0,   2.5,    5.0,   7.5,  10.0};

// Series that are read from the engine when somebody asks.
class EngineSeries {
 public:
  explicit EngineSeries(std::string model) : model_(std::move(model)) {}

  void gauge(std::string name, std::string help, double value) {
    add(std::move(name), std::move(help), MetricType::Gauge).gauge.value = value;
  }
  void counter(std::string name, std::string help, double value) {
    add(std::move(name), std::move(help), MetricType::Counter).counter.value = value;
  }
  // One series of the family made last, told apart by `label`.
  void counter_at(const std::string& label, std::string label_value, double value) {
    add_at(label, std::move(label_value)).counter.value = value;
  }
  void gauge_at(const std::string& label, std::string label_value, double value) {
    add_at(label, std::move(label_value)).gauge.value = value;
  }
  void family(std::string name, std::string help, MetricType type) {
    families_.push_back({std::move(name), std::move(help), type, {}});
  }
  const std::vector<MetricFamily>& families() const { return families_; }

 private:
  ClientMetric labelled() const {
    ClientMetric metric;
    metric.label.push_back({"model_name", model_});
    return metric;
  }
  ClientMetric& add_at(const std::string& label, std::string label_value) {
    families_.back().metric.push_back(labelled());
    families_.back().metric.back().label.push_back({label, std::move(label_value)});
    return families_.back().metric.back();
  }
  ClientMetric& add(std::string name, std::string help, MetricType type) {
    family(std::move(name), std::move(help), type);
    families_.back().metric.push_back(labelled());
    return families_.back().metric.back();
  }

  std::string model_;
  std::vector<MetricFamily> families_;
};

// How well the chance of each draft token was predicted.
void add_reliability(const scheduler::EngineStats& stats, EngineSeries& series) {
  using Reliability = scheduler::EngineStats::Reliability;
  const auto by_position = [&](std::string name, std::string help, double Reliability::*value) {
    series.family(std::move(name), std::move(help), MetricType::Gauge);
    for (size_t depth = 0; depth < stats.reliability.size(); ++depth) {
      series.gauge_at("position", std::to_string(depth), stats.reliability[depth].*value);
    }
  };
  by_position("foretoken_draft_calibration_ece",
              "Expected calibration error of the predicted chance of draft tokens, by position.",
              &Reliability::ece);
  by_position("foretoken_draft_calibration_brier",
              "Mean squared error of the predicted chance of draft tokens, by position.",
              &Reliability::brier);
  by_position(
      "foretoken_draft_calibration_auc",
      "Chance that an accepted draft token was predicted above a refused one, by position; 0.5 before "
      "there is one of each.",
      &Reliability::auc);
}

void add_engine_series(const scheduler::EngineStats& stats, EngineSeries& series) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  series.gauge("vllm:num_requests_running", "Requests in the engine's batch.",
               number(stats.requests_running));
  series.gauge("vllm:num_requests_waiting", "Requests waiting for a slot.", number(stats.requests_waiting));
  series.gauge("vllm:kv_cache_usage_perc", "Share of the cache's tokens that running requests fill, 0 to 1.",
               stats.cache_usage);
  series.counter("vllm:num_preemptions_total", "Times that a request gave up its memory for another.",
                 number(stats.preemptions));
  series.counter("vllm:prefix_cache_queries_total", "Prompt tokens that were looked up in the prefix cache.",
                 number(stats.prefix_queries));
  series.counter("vllm:prefix_cache_hits_total", "Of these, tokens that did not have to be computed.",
                 number(stats.prefix_hits));
  series.gauge("foretoken_prefix_cache_states", "Prefixes that are cached.", number(stats.prefix_states));
  series.gauge("foretoken_prefix_cache_bytes", "Memory of the cached prefixes.", number(stats.prefix_bytes));
  series.counter("vllm:prompt_tokens_total", "Prompt tokens processed.", number(stats.prompt_tokens));
  series.counter("vllm:generation_tokens_total", "Tokens generated.", number(stats.generation_tokens));
  series.counter("vllm:spec_decode_num_drafts_total", "Request steps that verified drafts.",
                 number(stats.drafts));
  series.counter("vllm:spec_decode_num_draft_tokens_total", "Draft tokens verified.",
                 number(stats.draft_tokens));
  series.counter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens accepted.",
                 number(stats.accepted_tokens));
  series.counter("foretoken_spec_decode_forced_tokens_total",
                 "Of the accepted ones, tokens that a grammar had forced.", number(stats.forced_tokens));
  series.family("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                "Draft tokens accepted, by position in the draft.", MetricType::Counter);
  for (size_t depth = 0; depth < stats.accepted_at_depth.size(); ++depth) {
    series.counter_at("position", std::to_string(depth), number(stats.accepted_at_depth[depth]));
  }
  series.family("foretoken_spec_decode_num_drafts_per_pos_total",
                "Request steps that verified a draft token, by position in the draft.", MetricType::Counter);
  for (size_t depth = 0; depth < stats.drafted_at_depth.size(); ++depth) {
    series.counter_at("position", std::to_string(depth), number(stats.drafted_at_depth[depth]));
  }
  series.family("foretoken_spec_decode_fallbacks_total", "Request steps that verified no draft, by reason.",
                MetricType::Counter);
  for (size_t reason = 0; reason < stats.fallbacks.size(); ++reason) {
    series.counter_at("reason",
                      std::string(scheduler::fallback_name(static_cast<scheduler::Fallback>(reason))),
                      number(stats.fallbacks[reason]));
  }
  series.counter("foretoken_steps_total", "Steps of the engine.", number(stats.steps));
  series.counter("foretoken_decode_steps_total", "Request steps that decoded, with drafts or without.",
                 number(stats.decode_steps));
  series.counter("foretoken_requests_cancelled_total", "Requests that were cancelled.",
                 number(stats.requests_cancelled));
  series.counter("foretoken_requests_failed_total", "Requests that failed in the engine.",
                 number(stats.requests_failed));
  series.family("foretoken_step_seconds_total", "Time of the engine's steps, by part.", MetricType::Counter);
  series.counter_at("part", "draft", stats.draft_seconds);
  series.counter_at("part", "verify", stats.verify_seconds);
  series.counter_at("part", "commit", stats.commit_seconds);
  series.counter("foretoken_expected_step_seconds_total",
                 "What the cost model expected of the steps that it learns from.",
                 stats.expected_step_seconds);
  series.counter("foretoken_observed_step_seconds_total", "What these steps took.",
                 stats.observed_step_seconds);
  series.counter("foretoken_canary_checks_total", "Verified rows that were computed again, alone.",
                 number(stats.canary_checks));
  series.counter("foretoken_canary_mismatches_total", "Of these, rows whose logits differed in any bit.",
                 number(stats.canary_mismatches));
  add_reliability(stats, series);
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  prometheus::Family<Histogram>& first_token_family =
      prometheus::BuildHistogram()
          .Name("vllm:time_to_first_token_seconds")
          .Help("From the arrival of a request to its first token.")
          .Register(registry);
  prometheus::Family<Histogram>& request_family =
      prometheus::BuildHistogram()
          .Name("vllm:e2e_request_latency_seconds")
          .Help("From the arrival of a request to the end of its reply.")
          .Register(registry);
  prometheus::Family<Histogram>& token_family = prometheus::BuildHistogram()
                                                    .Name("vllm:request_time_per_output_token_seconds")
                                                    .Help("Mean time between the tokens of a request.")
                                                    .Register(registry);
  prometheus::Family<prometheus::Counter>& success_family = prometheus::BuildCounter()
                                                                .Name("vllm:request_success_total")
                                                                .Help("Finished requests, by reason.")
                                                                .Register(registry);
  prometheus::Family<prometheus::Counter>& outcome_family =
      prometheus::BuildCounter()
          .Name("foretoken_requests_unfinished_total")
          .Help("Requests that were cancelled or failed.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& refused_family =
      prometheus::BuildCounter()
          .Name("foretoken_http_refusals_total")
          .Help("HTTP requests answered with an error, by status.")
          .Register(registry);
  Histogram& first_token = first_token_family.Add({}, kFirstTokenBuckets);
  Histogram& request = request_family.Add({}, kRequestBuckets);
  Histogram& token = token_family.Add({}, kTokenBuckets);
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::reply_finished(const ReplySummary& summary) {
  if (summary.outcome == "cancelled" || summary.outcome == "error") {
    impl_->outcome_family.Add({{"outcome", summary.outcome}}).Increment();
    return;
  }
  impl_->success_family.Add({{"finished_reason", summary.outcome}}).Increment();
  impl_->request.Observe(summary.total_seconds);
  if (!summary.first_token_seconds) return;
  impl_->first_token.Observe(*summary.first_token_seconds);
  if (summary.usage.completion_tokens > 1) {
    impl_->token.Observe((summary.total_seconds - *summary.first_token_seconds) /
                         static_cast<double>(summary.usage.completion_tokens - 1));
  }
}

void Metrics::request_refused(int status) {
  impl_->refused_family.Add({{"status", std::to_string(status)}}).Increment();
}

std::string Metrics::render(const scheduler::EngineStats* stats, const std::string& model) const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  EngineSeries series(model);
  if (stats != nullptr) add_engine_series(*stats, series);
  families.insert(families.end(), series.families().begin(), series.families().end());
  MetricFamily build{"foretoken_build_info", "The version of this process.", MetricType::Gauge, {}};
  ClientMetric info;
  info.label.push_back({"version", std::string(kVersion)});
  info.gauge.value = 1.0;
  build.metric.push_back(std::move(info));
  families.push_back(std::move(build));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace ft::server
