#include "support/outputs.hpp"

#include <gtest/gtest.h>

#include <string>

#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

std::string error_of(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  return user_error([&] { check_outputs(outputs, inputs); });
}

TEST(CheckOutputs, AnOutputIsNoInputUnderAnyName) {
  const TemporaryFolder folder;
  const std::string input = folder / "in.npy";
  write_file_atomically(input, "x");
  fs::create_directory(folder / "sub");
  fs::create_symlink(input, folder / "sub/link");
  fs::create_hard_link(input, folder / "sub/hard");
  fs::create_directory_symlink(folder.path(), folder / "sub/again");
  for (const char* name : {"in.npy", "./in.npy", "sub/../in.npy", "sub/link", "sub/hard",
                           "sub/again/in.npy", "sub/again/sub/link"}) {
    EXPECT_EQ(error_of({{"--grad G", folder / name}}, {folder / "other.npy", input}),
              "--grad G would overwrite " + input + ", which is read")
        << name;
  }
  EXPECT_EQ(error_of({{"--grad G", folder / "new.npy"}}, {input}), "(no error)");
  EXPECT_EQ(error_of({{"--grad G", folder / "sub/in.npy"}}, {input}), "(no error)");
}

TEST(CheckOutputs, TwoOutputsAreNotOneFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  fs::create_directory_symlink(folder.path(), folder / "sub/again");
  write_file_atomically(folder / "old.npy", "x");
  fs::create_symlink(folder / "old.npy", folder / "link.npy");
  const auto both = [&](const std::string& a, const std::string& b) {
    return error_of({{"--grad", folder / a}, {"--match", folder / b}}, {});
  };
  for (const auto& [a, b] : {std::pair{"x", "x"},
                             {"x", "./x"},
                             {"x", "sub/../x"},
                             {"x", "sub/again/x"},
                             {"old.npy", "link.npy"},
                             {"none/x", "none/./x"}}) {
    EXPECT_EQ(both(a, b),
              "--grad and --match would be written to one file, " + (folder / b).string());
  }
  EXPECT_EQ(both("x", "y"), "(no error)");
  EXPECT_EQ(both("x", "sub/x"), "(no error)");
  EXPECT_EQ(error_of({{"--grad", "new-x"}, {"--match", "./new-x"}}, {}),
            "--grad and --match would be written to one file, ./new-x");
}

TEST(CheckOutputs, DevicesMayBeShared) {
  EXPECT_EQ(error_of({{"--grad", "/dev/null"}, {"--match", "/dev/null"}}, {"/dev/null"}),
            "(no error)");
}

}  // namespace
}  // namespace osc::program
