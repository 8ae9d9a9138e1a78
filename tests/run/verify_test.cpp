#include "run/verify.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "attention/inputs.h"
#include "kernels/arena.h"
#include "run/fake_variants.h"
#include "run/prepared_case.h"
#include "run/reference_cache.h"

namespace attnbench::run_test {
namespace {

using run::checked_rows;
using run::ReferenceCache;

TEST(VerifyCase, PassesACorrectVariantAndShowsEveryHead) {
  const FakeVariant fake("fake");
  const auto v = verify_case(make_case(fake), 1, 0);
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_TRUE(v->passed) << v->reason;
  EXPECT_LT(v->definition_rel_l2, 1e-6);
  EXPECT_EQ(v->error_reference, "all rows");
  EXPECT_EQ(v->checked_rows, 16);
  EXPECT_EQ(v->tolerance, 1e-5);
  EXPECT_EQ(v->workspace_peak_bytes, 1024);
  ASSERT_EQ(v->heads.size(), 2U);
  EXPECT_EQ(v->heads[1].head, 1);
  EXPECT_EQ(v->heads[1].rows, 8);
  EXPECT_LT(v->heads[1].definition_rel_l2, 1e-6);
  EXPECT_TRUE(v->heads[1].error_rel_l2.has_value());
}

TEST(VerifyCase, RejectsAWrongOne) {
  const FakeVariant fake("fake", {.offset = 1e-3F});
  const auto v = verify_case(make_case(fake), 1, 0);
  ASSERT_TRUE(v);
  EXPECT_FALSE(v->passed);
  EXPECT_GT(v->definition_rel_l2, v->tolerance);
  EXPECT_NE(v->reason.find("worst row"), std::string::npos) << v->reason;
}

TEST(VerifyCase, ChecksAtMostAsManyRowsAsItIsTold) {
  const FakeVariant fake("fake");
  const auto v = verify_case(make_case(fake), 1, 5);
  ASSERT_TRUE(v);
  EXPECT_EQ(v->checked_rows, 5);
  EXPECT_EQ(v->error_reference, "5 sampled rows");
}

TEST(VerifyCase, GivesErrorsOfCasesThatCannotRun) {
  const FakeVariant greedy("greedy", {.bad_alloc_from = 1});
  const auto no_memory = verify_case(make_case(greedy), 1, 0);
  ASSERT_FALSE(no_memory);
  EXPECT_EQ(no_memory.error().kind, Error::Kind::out_of_memory);
  const FakeVariant broken("broken", {.throws_from = 1});
  const auto thrown = verify_case(make_case(broken), 1, 0);
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.error().message, "the fake broke");
}

TEST(VerifyCase, HoldsAnApproximationAgainstItsOwnDefinition) {
  const FakeVariant fake(
      "fake", {.offset = 0.25F, .exactness = Exactness::approximate, .reference_offset = 0.25});
  const auto v = verify_case(make_case(fake), 1, 0);
  ASSERT_TRUE(v);
  EXPECT_TRUE(v->passed) << v->reason;
  EXPECT_LT(v->definition_rel_l2, 1e-5);
  EXPECT_NEAR(v->error_max_abs.value(), 0.25, 1e-5);
  EXPECT_GT(v->error_rel_l2.value(), 0.05);
}

TEST(VerifyCase, HasNoErrorAgainstSoftmaxForAnotherFunction) {
  const FakeVariant fake("fake", {.exactness = Exactness::different});
  const auto v = verify_case(make_case(fake), 1, 0);
  ASSERT_TRUE(v);
  EXPECT_TRUE(v->passed);
  EXPECT_FALSE(v->error_rel_l2 || v->error_max_abs || v->error_mean_v);
  EXPECT_FALSE(v->heads.at(0).error_rel_l2.has_value());
}

TEST(CheckedRows, AreAllWhileThatIsCheap) {
  Problem problem;
  problem.heads_q = problem.heads_kv = 4;
  problem.seq_q = problem.seq_k = 256;
  EXPECT_EQ(checked_rows(problem), 1024);
  problem.seq_q = problem.seq_k = 4096;
  EXPECT_EQ(checked_rows(problem), 190);  // 1e8 / (4096 * 128)
  problem.seq_q = problem.seq_k = 1 << 20;
  EXPECT_EQ(checked_rows(problem), 16);
  problem.seq_q = 1;
  problem.heads_q = problem.heads_kv = 1;
  EXPECT_EQ(checked_rows(problem), 1);
}

struct Drawn {
  explicit Drawn(std::int64_t seq) : problem(small_problem(seq)) {
    tensors = draw_inputs(problem, "gaussian", 1);
  }
  Problem problem;
  InputTensors tensors;
};

TEST(ReferenceCache, SharesSoftmaxRowsBetweenVariants) {
  const Drawn drawn(8);
  ReferenceCache cache(drawn.problem, drawn.tensors.view(), 1);
  kernels::ThreadArena arena(1);
  const FakeVariant a("a"), b("b");
  const ParamValues none;
  EXPECT_EQ(&cache.softmax(a, none, arena), &cache.softmax(b, none, arena));
  EXPECT_EQ(&cache.definition(a, none, {}, arena), &cache.definition(b, none, {}, arena));
  EXPECT_EQ(a.references(), 0);
  const FakeVariant own("own", {.exactness = Exactness::approximate});
  cache.definition(own, none, {}, arena);
  cache.affordable_definition(own, none, {}, arena);
  EXPECT_EQ(own.references(), 16);  // Every row once.
  EXPECT_NE(&cache.definition(own, none, {}, arena), &cache.definition(a, none, {}, arena));
}

TEST(ReferenceCache, CutsADearDefinitionShortAfterSixteenRows) {
  const Drawn drawn(64);
  const FakeVariant fake("fake", {.exactness = Exactness::approximate});
  kernels::ThreadArena arena(1);
  const ParamValues none;
  ReferenceCache poor(drawn.problem, drawn.tensors.view(), 1, 0, 0);
  const run::DefinitionRows part = poor.affordable_definition(fake, none, {}, arena);
  EXPECT_EQ(part.rows.size(), 16U);
  EXPECT_EQ(part.at.front(), 0U);
  EXPECT_EQ(part.at.back(), 127U);
  ReferenceCache rich(drawn.problem, drawn.tensors.view(), 1, 0,
                      std::numeric_limits<double>::infinity());
  const run::DefinitionRows all = rich.affordable_definition(fake, none, {}, arena);
  ASSERT_EQ(all.rows.size(), 128U);
  // The same values, row by row, whatever the order in which they were evaluated.
  for (std::size_t i = 0; i < part.at.size(); ++i) {
    for (std::size_t d = 0; d < 4; ++d) {
      EXPECT_EQ(part.expected.values[4 * i + d], all.expected.values[4 * part.at[i] + d]);
    }
  }
  EXPECT_EQ(poor.definition(fake, none, {}, arena).values, all.expected.values);
}

TEST(ReferenceCache, KnowsWhatRoundingAloneCosts) {
  Drawn drawn(8);
  ReferenceCache cache(drawn.problem, drawn.tensors.view(), 1);
  kernels::ThreadArena arena(1);
  const FakeVariant fake("fake");
  const auto plain = cache.plain_float(fake, {}, arena);
  EXPECT_GT(plain.largest_logit, 0.1);
  EXPECT_LT(plain.largest_logit, 20);
  EXPECT_GT(plain.relative_l2, 0);
  EXPECT_LT(plain.relative_l2, 1e-6);
}

/// Keys that hardly differ under a huge scale: logits in the thousands, all close to each other, so
/// that the rounding of each float32 logit shows in the weights.
void make_logits_huge_and_close(Drawn& drawn) {
  for (float& k : drawn.tensors.k.buffer().span()) k = 1 + 1e-5F * k;
  for (float& q : drawn.tensors.q.buffer().span()) q = 1 + 0.1F * q;
  drawn.problem.scale = 5000;
}

Verification verify_with(const FakeVariant& fake, const Drawn& drawn) {
  Case spec = make_case(fake, 0, 1, drawn.problem.seq_q);
  spec.problem = drawn.problem;
  auto prepared = run::PreparedCase::create(spec, 1);
  Tensor output = run::make_output(drawn.problem);
  kernels::ThreadArena arena(1);
  EXPECT_TRUE((*prepared)->try_run(drawn.tensors.view(), output.view(), arena));
  ReferenceCache cache(drawn.problem, drawn.tensors.view(), 1);
  return run::verify_output(**prepared, output.view(), cache, arena);
}

TEST(VerifyOutput, AllowsMoreRoundingForHugeLogitsOnly) {
  const FakeVariant slightly_off("slightly off", {.offset = 3e-5F});
  const FakeVariant wrong("wrong", {.offset = 0.1F});
  Drawn drawn(32);
  const Verification usual = verify_with(slightly_off, drawn);
  EXPECT_FALSE(usual.passed);
  EXPECT_EQ(usual.tolerance, 1e-5);
  make_logits_huge_and_close(drawn);
  const Verification huge = verify_with(slightly_off, drawn);
  EXPECT_TRUE(huge.passed) << huge.reason;
  EXPECT_GT(huge.definition_rel_l2, 1e-5);
  EXPECT_GT(huge.tolerance, 1e-5);
  EXPECT_FALSE(verify_with(wrong, drawn).passed);
}

}  // namespace
}  // namespace attnbench::run_test
