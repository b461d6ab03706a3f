#include "eval/command_line.h"
#include "eval/identity_command.h"

namespace ft::eval {

namespace {

void add_identity(CLI::App& app, Run& run) {
  auto options = std::make_shared<IdentityOptions>();
  CLI::App* command = app.add_subcommand(
      "identity",
      "every drafter, tree, batch, prefix hit, preemption and fork against plain solo decoding, byte by "
      "byte; exit code 1 if anything differs");
  add_session(command, options->session);
  command->add_option("--second-model", options->second_model, "another checkpoint, with another drafter");
  command->add_option("--prompts", options->prompts, "JSON Lines of prompts")->required();
  command->add_option("--tokens", options->tokens, "compared at least")
      ->check(within(0, kTokensMax))
      ->capture_default_str();
  command->add_option("--max-tokens", options->max_tokens, "tokens generated per prompt, where not more")
      ->check(within(1, kTokensMax))
      ->capture_default_str();
  command->add_option("--every", options->every, "only every n-th cell of the grid")
      ->check(within(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--cells", options->cells, "only cells whose name contains this");
  command->add_option("--json", options->json, "also write the counts here");
  command->callback([&run, options] {
    run = [options](std::FILE* out) {
      bool clean = false;
      const int code = report(run_identity(*options, out, &clean));
      return code == 0 && !clean ? kDifferent : code;
    };
  });
}

}  // namespace

void add_experiment_commands(CLI::App& app, Run& run) {
  add_identity(app, run);
}

}  // namespace ft::eval
