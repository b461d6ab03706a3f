#include "server/chat/chat.h"

#include <gtest/gtest.h>

#include <csignal>
#include <sstream>
#include <thread>

#include "server/chat/reply_view.h"
#include "server/chat/terminal_text.h"

namespace ft::server {
namespace {

TEST(TerminalText, LosesWhatATerminalWouldActOn) {
  EXPECT_EQ(terminal_text("a\x1b[2Jb\tc\n\rd\x07\x7f"), "a[2Jb\tc\nd");
  EXPECT_EQ(terminal_text("\xC2\x9B"
                          "31mred \xC2\xA0 \xC3\xBC \xE2\x82\xAC"),
            "31mred \xC2\xA0 \xC3\xBC \xE2\x82\xAC");
  EXPECT_EQ(terminal_text("\xC2"), "\xC2");
}

TEST(ReplyView, FoldsTheReasoning) {
  std::ostringstream out;
  ReplyView view(out, false);
  view.show(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})");
  view.show(R"({"choices":[{"delta":{"content":"yes"},"finish_reason":"length"}]})");
  view.end();
  EXPECT_EQ(view.reasoning(), "hm");
  EXPECT_EQ(view.content(), "yes");
  EXPECT_TRUE(view.cut());
  EXPECT_TRUE(out.str().starts_with("[thought for 0.")) << out.str();
  EXPECT_TRUE(out.str().ends_with("; /reasoning shows it]\nyes\n")) << out.str();
}

TEST(ReplyView, ShowsCallsAndErrors) {
  std::ostringstream out;
  ReplyView view(out, false);
  view.show(R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]})");
  view.show(R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\": 1}"}}]}}]})");
  view.show(R"({"error":{"message":"it \u001bfailed"}})");
  view.show("no JSON");
  view.show("[DONE]");
  view.end();
  EXPECT_EQ(out.str(), "call of f: {\"a\": 1}\n");
  EXPECT_EQ(view.error(), "it failed");
}

}  // namespace
}  // namespace ft::server
