#include "eval/command_line.h"
#include "eval/load/command.h"
#include "eval/simulate/command.h"

namespace ft::eval {

namespace {

// A limit that is 0 where there is none.
constexpr double kMillisecondsMax = 1e9;

void add_load(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  auto options = std::make_shared<LoadOptions>();
  options->prompts = kDefaultPrompts;
  CLI::App* command = app.add_subcommand("load",
                                         "requests to a running OpenAI-compatible server at given moments, "
                                         "whatever it answers: latencies, throughput, "
                                         "goodput under a service level, errors by kind, acceptance; writes "
                                         "JSON, HTML, Markdown, CSV and a line per request");
  command->add_option("--url", options->url, "of the server, as http://127.0.0.1:8000")->required();
  command->add_option("--served-model", options->model, "its name there; the first one by default");
  command->add_option("--api-key-file", options->api_key_file, "its first line is sent as a bearer token");
  command->add_option("--prompts", options->prompts, "JSON Lines of messages or turns, taken in turn")
      ->capture_default_str();
  command->add_option("--rates", options->rates, "requests per second, several: a level each")
      ->check(within(1e-6, 1e6))
      ->delimiter(',');
  command->add_option("--concurrency", options->concurrencies, "requests at a time, several: a level each")
      ->check(within(1, 100'000))
      ->delimiter(',');
  command->add_option(
      "--replay", options->replay,
      "a level of the arrivals of a trace: a result of load, or JSON Lines of {\"timestamp\": seconds}");
  command->add_option("--replay-level", options->replay_level, "of a result, from 0")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--arrivals", options->arrivals, "poisson or constant")->capture_default_str();
  command->add_option("--requests", options->requests, "of a level")
      ->check(within(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--warm-up", options->warm_up, "requests sent first, one by one; they do not count")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "of a reply")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of arrivals; request i samples with seed + i")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos,
                    "every reply has all its tokens, where the server knows this");
  command->add_option("--timeout", options->timeout_seconds, "seconds of one request")
      ->check(within(0.001, 1e6))
      ->capture_default_str();
  command->add_option("--ttft-ms", options->ttft_ms, "service level: time to first token; 0 = none")
      ->check(within(0.0, kMillisecondsMax))
      ->capture_default_str();
  command->add_option("--tpot-ms", options->tpot_ms, "service level: time per token after it; 0 = none")
      ->check(within(0.0, kMillisecondsMax))
      ->capture_default_str();
  command->add_option("--out", options->out, "folder of the result")->required();
  command->callback([&run, options, words] {
    run = [options, words](std::FILE* out) {
      options->command = words;
      return report(run_load(*options, out));
    };
  });
}

void add_simulate(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* command = app.add_subcommand("simulate",
                                         "a deployment in virtual time under the real scheduler: published "
                                         "ones by preset, or one's own from a recorded run "
                                         "of accept; seeded, without a model");
  command->add_option(
      "--preset", options->preset,
      "frontier: throughput against speed per user; budget: verified rows against concurrency; trees: "
      "trees and expert prices; sensitivity: what the frontier depends on");
  command->add_option("--study-steps", options->study_steps, "of a preset, counted at each point")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option(
      "--stated", options->stated,
      "V4-Flash on the hardware of the presets, 8 devices a replica: plain, mtp, dspark or tree");
  command->add_option("--recorded", options->recorded,
                      "results of accept: acceptance is drawn from one of their cells, steps cost what they "
                      "did in all; record "
                      "one request at a time and as many as the server takes");
  command
      ->add_option(
          "--overhead-ms", options->overhead_ms,
          "a server's time between two steps beyond what was recorded, for handing tokens to clients")
      ->check(within(0.0, 1000.0))
      ->capture_default_str();
  command->add_option("--cell", options->cell, "the first cell that drafts whose name contains this");
  command->add_option("--replicas", options->replicas, "that share the requests")
      ->check(within(1, 100'000))
      ->capture_default_str();
  command->add_option("--max-requests", options->requests_max, "that a replica decodes at the same time")
      ->check(within(1, 4096))
      ->capture_default_str();
  command->add_option("--cache-tokens", options->tokens_max, "memory of a replica")
      ->check(within(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--prefill-chunk", options->prefill_chunk, "prompt rows of one request per step")
      ->check(within(1, 65'536))
      ->capture_default_str();
  command
      ->add_option("--tree-nodes", options->tree_nodes,
                   "rows per step and request; 0 = the scheduler decides")
      ->check(within(0, 1024))
      ->capture_default_str();
  command->add_option("--arrivals", options->arrivals, "poisson or constant")->capture_default_str();
  command->add_option("--rates", options->rates, "requests per second, several: a level each")
      ->check(within(1e-6, 1e6))
      ->delimiter(',');
  command->add_option("--requests", options->requests, "of a level")
      ->check(within(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--prompt-tokens", options->prompt_tokens, "of a request")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--completion-tokens", options->completion_tokens, "of a request")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option(
      "--replay", options->replay,
      "requests of a trace instead; every level of a result of load is replayed, and compared with it");
  command->add_option("--seed", options->seed, "of arrivals and acceptance")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_option("--out", options->out, "folder of the result")->required();
  command->callback([&run, options, words] {
    run = [options, words](std::FILE* out) {
      options->command = words;
      return report(run_simulate(*options, out));
    };
  });
}

}  // namespace

void add_serving_commands(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  add_load(app, run, words);
  add_simulate(app, run, words);
}

}  // namespace ft::eval
