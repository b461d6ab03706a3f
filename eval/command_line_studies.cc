#include "eval/accept/command.h"
#include "eval/command_line.h"
#include "eval/quality/command.h"
#include "eval/report/write.h"

namespace ft::eval {

namespace {

// An axis of the grid replaces that axis of a preset.
template <class T>
void override_axis(std::vector<GridAxes>& grids, std::vector<T> GridAxes::*axis,
                   const std::vector<T>& values) {
  if (values.empty()) return;
  for (GridAxes& axes : grids) axes.*axis = values;
}

void add_accept(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  struct Given {
    AcceptOptions options;
    std::string preset;
    GridAxes axes{{}, {}, {}, {}, {}, {}, {}};
  };
  auto given = std::make_shared<Given>();
  AcceptOptions& options = given->options;
  options.session.model = kDefaultModel;
  options.prompts = {kDefaultPrompts};
  CLI::App* command = app.add_subcommand("accept",
                                         "tokens per verify step over a grid of drafters, depths, rows, "
                                         "temperatures, rules, trees, thinking modes and "
                                         "prompts, with intervals over prompts; writes JSON, HTML, Markdown "
                                         "and CSV. Interrupted, it goes on where it was "
                                         "when the same command is given again");
  command->add_option(
      "--preset", given->preset,
      "quick: the nano model's own questions in a few minutes; paper: temperature 1, rejection, chains of "
      "5 drafted tokens. Other flags change it");
  add_session(command, options.session)->required(false);
  command
      ->add_option(
          "--prompts", options.prompts,
          "JSON Lines of prompts, several files; \"domain\" or \"category\" of a line is reported apart")
      ->capture_default_str();
  command->add_option("--drafters", given->axes.drafters, draft::drafter_names_text())->delimiter(',');
  command
      ->add_option("--depths", given->axes.depths,
                   "drafted tokens deep at most; 0 = as deep as the drafter can")
      ->check(within(0, 64))
      ->delimiter(',');
  command
      ->add_option("--rows", given->axes.rows,
                   "verified per step, anchor included; 0 = the scheduler decides")
      ->check(within(0, 1024))
      ->delimiter(',');
  command->add_option("--temperatures", given->axes.temperatures, "0 = greedy")
      ->check(within(0.0, 100.0))
      ->delimiter(',');
  command->add_option("--rules", given->axes.rules, "coupled, rejection")->delimiter(',');
  command
      ->add_option("--trees", given->axes.trees,
                   "chain, best-first; a label where --url is another server than ours")
      ->delimiter(',');
  command->add_option("--thinking", given->axes.thinking, "as-is, on, off")->delimiter(',');
  command->add_option("--max-tokens", options.max_tokens, "tokens generated per prompt")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--seeds", options.seeds, "completions per prompt; one at temperature 0")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--seed", options.seed, "the first")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command
      ->add_option("--phases", options.phases,
                   "variants of each prompt with 0, 1, ... copies of its first token more in front; 4 "
                   "average over where "
                   "blocks of four tokens begin")
      ->check(within(1, 128))
      ->capture_default_str();
  command->add_option("--prompts-max", options.prompts_max, "of a file, evenly spread over it; 0 = all")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--warm-up", options.warm_up,
                   "prompts that each cell completes first, so that the scheduler knows the content; they do "
                   "not count")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--concurrency", options.concurrency, "requests at a time")
      ->check(within(1, 1024))
      ->capture_default_str();
  command->add_option(
      "--url", options.url,
      "measure a running OpenAI-compatible server instead: ours, or one that reports acceptance per "
      "request as vLLM or SGLang do");
  command->add_option("--served-model", options.model,
                      "with --url: its name there; the first one by default");
  command->add_option("--out", options.out, "folder of the result")->required();
  command->add_flag("--fresh", options.fresh, "forget an unfinished run in that folder");
  command->callback([&run, given, command, words] {
    run = [given, command, words](std::FILE* out) {
      AcceptOptions& chosen = given->options;
      chosen.command = words;
      if (!given->preset.empty()) {
        const auto preset = accept_preset(given->preset);
        if (!preset) return report(tl::make_unexpected(preset.error()));
        chosen.grids = preset->grids;
        if (command->count("--max-tokens") == 0) chosen.max_tokens = preset->max_tokens;
        if (command->count("--seeds") == 0) chosen.seeds = preset->seeds;
        if (command->count("--prompts-max") == 0) chosen.prompts_max = preset->prompts_max;
        if (command->count("--warm-up") == 0) chosen.warm_up = preset->warm_up;
      }
      // A server takes what a request can say.
      if (given->preset.empty() && !chosen.url.empty())
        chosen.grids = {{.rows = {0}, .rules = {"coupled"}, .trees = {"best-first"}}};
      override_axis(chosen.grids, &GridAxes::drafters, given->axes.drafters);
      override_axis(chosen.grids, &GridAxes::depths, given->axes.depths);
      override_axis(chosen.grids, &GridAxes::rows, given->axes.rows);
      override_axis(chosen.grids, &GridAxes::temperatures, given->axes.temperatures);
      override_axis(chosen.grids, &GridAxes::rules, given->axes.rules);
      override_axis(chosen.grids, &GridAxes::trees, given->axes.trees);
      override_axis(chosen.grids, &GridAxes::thinking, given->axes.thinking);
      return report(run_accept(chosen, out));
    };
  });
}

void add_quality(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  auto options = std::make_shared<QualityOptions>();
  options->session.model = kDefaultModel;
  options->prompts = kDefaultPrompts;
  CLI::App* command = app.add_subcommand("quality",
                                         "answers by domain, perplexity, logits beside recorded ones, and "
                                         "whether a setting of speed changes a token; exit "
                                         "code 1 if one does");
  add_session(command, options->session)->required(false);
  command
      ->add_option("--prompts", options->prompts,
                   "JSON Lines with an optional \"answer\" that a right reply contains")
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per prompt")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command
      ->add_option("--temperature", options->temperature, "of the comparison of settings; answers are greedy")
      ->check(within(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "prompt i samples with seed + i")
      ->check(within(kSeedMin, kSeedMax))
      ->capture_default_str();
  command->add_option("--prompts-max", options->prompts_max, "evenly spread over the file; 0 = all")
      ->check(within(0, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--settings", options->settings,
                   "drafter/rows/concurrency, rows a number or adaptive, several")
      ->delimiter(',')
      ->capture_default_str();
  CLI::Option* logits = command->add_option("--golden-logits", options->golden_logits,
                                            "a safetensors file as the command logits writes it");
  CLI::Option* tokens =
      command->add_option("--golden-tokens", options->golden_tokens, "the token lists that it is of");
  logits->needs(tokens);
  tokens->needs(logits);
  command->add_option("--out", options->out, "folder of the result")->required();
  command->callback([&run, options, words] {
    run = [options, words](std::FILE* out) {
      options->command = words;
      bool same = false;
      const int code = report(run_quality(*options, out, &same));
      return code == 0 && !same ? kDifferent : code;
    };
  });
}

void add_report(CLI::App& app, Run& run) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report",
                                         "one page of any results (accept, load, quality, simulate): HTML "
                                         "that needs nothing else, Markdown, CSV");
  command->add_option("results", options->results, "JSON files of results")->required();
  command->add_option("--out", options->out, "folder of the page")->required();
  command->add_option("--name", options->name, "of the files")->capture_default_str();
  command
      ->add_option(
          "--compare", options->compare,
          "two cells of accept, by parts of their names: the first over the second, prompt by prompt")
      ->expected(2);
  command->callback(
      [&run, options] { run = [options](std::FILE* out) { return report(run_report(*options, out)); }; });
}

}  // namespace

void add_study_commands(CLI::App& app, Run& run, const std::vector<std::string>& words) {
  add_accept(app, run, words);
  add_quality(app, run, words);
  add_report(app, run);
}

}  // namespace ft::eval
