#include <cstdio>

#include "eval/checkpoint_form.h"
#include "eval/command_line.h"
#include "eval/draft_command.h"
#include "eval/generate_command.h"
#include "eval/logits_command.h"
#include "eval/random_checkpoint.h"

namespace ft::eval {

namespace {

void add_logits(CLI::App& app, Run& run) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand("logits", "logits of whole token sequences");
  add_session(command, options->session);
  command->add_option("--tokens", options->tokens, "JSON file: a list of token-id lists")->required();
  command->add_option("--out", options->out, "safetensors file: logits.0, logits.1, ...")->required();
  command->add_option("--chunk", options->chunk, "rows of one forward call")
      ->check(within(1, 65536))
      ->capture_default_str();
  command->callback(
      [&run, options] { run = [options](std::FILE*) { return report(run_logits(*options)); }; });
}

void add_generate(CLI::App& app, Run& run) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "completions of a file of prompts");
  add_session(command, options->session);
  command
      ->add_option("--prompts", options->prompts,
                   "JSON Lines: {tokens} or {prompt} or {messages, thinking} or {turns}")
      ->required();
  command->add_option("--out", options->out, "JSON Lines, one completion per prompt, in order")->required();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per prompt")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-p", options->top_p, "nucleus")->check(within(0.0, 1.0))->capture_default_str();
  command->add_option("--seed", options->seed, "prompt i samples with seed + i")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_option("--drafter", options->drafter, draft::drafter_names_text())->capture_default_str();
  command
      ->add_option("--tree-nodes", options->tree_nodes,
                   "rows verified per step, anchor included; 1 = plain, 0 = the scheduler decides")
      ->check(within(0, 1024))
      ->capture_default_str();
  command->add_option("--tree", options->tree, "best-first or chain")->capture_default_str();
  command
      ->add_option("--acceptance", options->acceptance,
                   "coupled (the target's own tokens), or rejection (the paper's rule; other tokens of the "
                   "same distribution)")
      ->capture_default_str();
  command
      ->add_option("--selection", options->selection,
                   "global; with rejection stepwise (its default) or two-step")
      ->capture_default_str();
  command->add_option("--concurrency", options->concurrency, "requests at a time")
      ->check(within(1, 1024))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos, "the end token does not end a completion");
  command
      ->add_option("--kv-cache-tokens", options->kv_cache_tokens,
                   "tokens that the cache holds; 0 = room for all that run at a time")
      ->check(within(0, kTokensMax))
      ->capture_default_str();
  command->add_option("--prefix-cache-mib", options->prefix_cache_mib, "of prompts that were read; 0 = none")
      ->check(within(0, 1 << 24))
      ->capture_default_str();
  command
      ->add_option("--canary-rate", options->canary_rate,
                   "share of steps whose rows are computed again and compared")
      ->check(within(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--schema", options->schema, "file of a JSON schema that every reply keeps to");
  command->add_option("--state-dir", options->state_dir,
                      "keeps measured costs and calibration here for the next start");
  command->callback([&run, options] {
    run = [options](std::FILE*) {
      GenerateSummary summary;
      const Result<void> done = run_generate(*options, &summary);
      if (summary.totals.requests > 0) fmt::print(stderr, "{}", summary_text(*options, summary));
      return report(done);
    };
  });
}

void add_draft(CLI::App& app, Run& run) {
  struct Options {
    SessionOptions session;
    std::string tokens;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  options->session.mode = "exact";
  CLI::App* command = app.add_subcommand("draft", "one draft step after each token sequence");
  add_session(command, options->session);
  command->add_option("--tokens", options->tokens, "JSON file: a list of token-id lists")->required();
  command->add_option("--out", options->out, "safetensors file")->required();
  command->callback([&run, options] {
    run = [options](std::FILE*) -> int {
      const auto sequences = read_token_lists(options->tokens);
      if (!sequences) return report(tl::make_unexpected(sequences.error()));
      auto session = open_session(options->session);
      if (!session) return report(tl::make_unexpected(session.error()));
      return report(run_draft(*session->backend, *session->checkpoint, *sequences, options->out));
    };
  });
}

void add_make_random(CLI::App& app, Run& run) {
  auto options = std::make_shared<RandomCheckpointOptions>();
  CLI::App* command =
      app.add_subcommand("make-random", "a checkpoint with random weights of a config's shapes");
  command->add_option("--config", options->config, "config.json, such as eval/configs/heavy-dspark.json")
      ->required();
  command->add_option("--out", options->out, "directory of the new checkpoint")->required();
  std::string forms;
  for (const CheckpointForm& form : checkpoint_forms())
    forms += fmt::format("\n{}{}: {}", form.refused ? "(refused) " : "", form.name, form.what);
  command->add_option("--form", options->form, "how it is stored:" + forms)->capture_default_str();
  command->add_option("--seed", options->seed, "other weights for another seed")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  options->progress = [shown = int64_t{-1}](int64_t done, int64_t total) mutable {
    const int64_t percent = total == 0 ? 100 : 100 * done / total;
    if (percent / 10 == shown / 10 && shown >= 0) return;
    shown = percent;
    fmt::print(stderr, "{} of {} MiB written\n", done >> 20, total >> 20);
  };
  command->callback(
      [&run, options] { run = [options](std::FILE*) { return report(make_random_checkpoint(*options)); }; });
}

}  // namespace

void add_model_commands(CLI::App& app, Run& run) {
  add_logits(app, run);
  add_generate(app, run);
  add_draft(app, run);
  add_make_random(app, run);
}

}  // namespace ft::eval
