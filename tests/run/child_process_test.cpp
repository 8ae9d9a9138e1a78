// Children of a gate that behave, and children that do not.
#include "run/child_process.h"

#include <gtest/gtest.h>

#include "run/fake_variants.h"
#include "run/gate_child.h"
#include "run/repro.h"

namespace attnbench::run {
namespace {

using Kind = ChildFailure::Kind;

std::unique_ptr<ChildProcess> shell(const std::string& script) {
  auto child = ChildProcess::start({"child", {"/bin/sh", "-c", script}, {}, {}, nullptr});
  return child ? std::move(*child) : nullptr;
}

constexpr double kPatience_s = 60;  ///< Of a question that is answered or refused at once.

ChildFailure failure_of(const Answer& answer) {
  const auto* failure = std::get_if<ChildFailure>(&answer);
  return failure != nullptr ? *failure : ChildFailure{Kind::refused, "it answered", "none"};
}

TEST(ChildProcess, AnswersAndRefuses) {
  const auto child = shell(R"(read x; echo '{"ok": true, "n": 7, "text": "7"}'
                              read x; echo '{"ok": false, "error": "usage", "message": "no"}'
                              read x; echo '{"ok": true}')");
  ASSERT_NE(child, nullptr);
  const Answer first = child->ask({{"do", "this"}}, kPatience_s);
  ASSERT_TRUE(std::holds_alternative<OrderedJson>(first));
  EXPECT_EQ(number_in(std::get<OrderedJson>(first), "n"), 7);
  EXPECT_EQ(number_in(std::get<OrderedJson>(first), "text"), 0);
  EXPECT_EQ(number_in(std::get<OrderedJson>(first), "absent"), 0);
  const ChildFailure refused = failure_of(child->ask({{"do", "that"}}, kPatience_s));
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.message, "no");
  EXPECT_EQ(refused.refusal, "usage");
  // A refusal is no end.
  EXPECT_TRUE(std::holds_alternative<OrderedJson>(child->ask({{"do", "more"}}, kPatience_s)));
}

TEST(ChildProcess, SaysHowAChildEnded) {
  const auto leaves = shell("read x; echo the reason >&2; exit 3");
  const ChildFailure left = failure_of(leaves->ask({{"do", "it"}}, kPatience_s));
  EXPECT_EQ(left.kind, Kind::died);
  EXPECT_EQ(left.message, "child ended with exit code 3: the reason");
  // Later questions fail the same way.
  EXPECT_EQ(failure_of(leaves->ask({{"do", "it"}}, kPatience_s)).message, left.message);
  const auto killed = shell("read x; kill -9 $$");
  const ChildFailure gone = failure_of(killed->ask({{"do", "it"}}, kPatience_s));
  EXPECT_EQ(gone.kind, Kind::died);
  EXPECT_NE(gone.message.find("signal 9"), std::string::npos);
}

TEST(ChildProcess, EndsAChildThatHangs) {
  const auto child = shell("read x; exec sleep 1000");
  const ChildFailure hung = failure_of(child->ask({{"do", "it"}}, 0.05));
  EXPECT_EQ(hung.kind, Kind::hung);
  EXPECT_EQ(hung.message, "child gave no answer within 0.05 s");
}

TEST(ChildProcess, TakesNothingButAnAnswer) {
  for (const char* text : {"hello", "7", "[]", "{}", "{\"ok\": NaN}", "{\"ok\": tru"}) {
    const auto child = shell("read x; echo '" + std::string(text) + "'");
    EXPECT_EQ(failure_of(child->ask({{"do", "it"}}, kPatience_s)).kind, Kind::garbled) << text;
  }
  // Odd types in an answer are no answer's fault to crash on.
  const auto child = shell(R"(read x; echo '{"ok": "yes", "message": 1, "error": []}')");
  const ChildFailure odd = failure_of(child->ask({{"do", "it"}}, kPatience_s));
  EXPECT_EQ(odd.kind, Kind::refused);
  EXPECT_EQ(odd.message, "no reason given");
}

TEST(ChildProcess, AnInterruptEndsTheWait) {
  const std::atomic<bool> interrupted{true};
  auto child =
      ChildProcess::start({"child", {"/bin/sh", "-c", "read x; read y"}, {}, {}, &interrupted});
  ASSERT_TRUE(child);
  EXPECT_EQ(failure_of((*child)->ask({{"do", "it"}}, kPatience_s)).kind, Kind::interrupted);
}

TEST(ChildProcess, AProgramThatIsNotThereIsAnError) {
  const auto child = ChildProcess::start({"child", {"/nowhere/at/all"}, {}, {}, nullptr});
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().message.find("cannot be started"), std::string::npos);
}

// The other end.

class GateChildTest : public testing::Test {
 protected:
  GateChildTest() {
    registry_.add(std::make_unique<run_test::FakeVariant>("right"));
    registry_.add(
        std::make_unique<run_test::FakeVariant>("wrong", run_test::Behaviour{.offset = 0.5F}));
  }
  OrderedJson ask(const OrderedJson& request) {
    return OrderedJson::parse(child_.answer(request.dump()));
  }
  static CaseFlags flags(const std::string& variant) {
    return {{"variants", variant}, {"seq", "8"}, {"heads", "1"}, {"dim", "4"}, {"threads", "1"}};
  }

  Registry registry_;
  GateChild child_{registry_};
};

TEST_F(GateChildTest, PlansPreparesAndTimes) {
  EXPECT_EQ(ask({{"do", "hello"}}).at("protocol"), kGateProtocol);
  const OrderedJson plan = ask({{"do", "plan"},
                                {"name", "x.toml"},
                                {"config", "variants = 'right'\nseq = [8, 16]\nthreads = 1"}});
  ASSERT_EQ(plan.at("cells").size(), 2u);
  const OrderedJson ready = ask(
      {{"do", "prepare"}, {"id", "a"}, {"flags", plan.at("cells")[1].at("flags")}, {"rows", 8}});
  EXPECT_TRUE(ready.at("ok").get<bool>());
  EXPECT_GT(ready.at("call_s").get<double>(), 0);
  const OrderedJson timed = ask({{"do", "time"}, {"id", "a"}, {"iterations", 2}});
  EXPECT_GT(timed.at("wall_s").get<double>(), 0);
  EXPECT_TRUE(ask({{"do", "drop"}, {"id", "a"}}).at("ok").get<bool>());
  EXPECT_EQ(ask({{"do", "time"}, {"id", "a"}, {"iterations", 2}}).at("error"), "usage");
}

TEST_F(GateChildTest, RefusesWrongResultsAndNonsense) {
  const OrderedJson wrong =
      ask({{"do", "prepare"}, {"id", "a"}, {"flags", flags("wrong")}, {"rows", 8}});
  EXPECT_EQ(wrong.at("error"), "failed");
  EXPECT_NE(wrong.at("message").get<std::string>().find("wrong result"), std::string::npos);
  const OrderedJson unknown =
      ask({{"do", "prepare"}, {"id", "a"}, {"flags", flags("unheard-of")}, {"rows", 0}});
  EXPECT_EQ(unknown.at("error"), "usage");
  EXPECT_EQ(ask({{"do", "dance"}}).at("error"), "usage");
  EXPECT_EQ(ask({{"do", 7}}).at("error"), "usage");
  for (const char* text : {"", "x", "[]", "{}", "{\"do\":\"time\"}"}) {
    EXPECT_FALSE(OrderedJson::parse(child_.answer(text)).at("ok").get<bool>()) << text;
  }
}

}  // namespace
}  // namespace attnbench::run
