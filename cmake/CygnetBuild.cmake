# Build functions: one line per folder in the folders themselves.
#   cygnet_library(NAME DEPS ...)   static library of the folder's sources, plus its unit tests
#   cygnet_driver(NAME) / cygnet_engine(NAME)   one line registers a plug-in of its folder

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
if(CYGNET_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

add_library(cygnet_options INTERFACE)
target_include_directories(cygnet_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(cygnet_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align
  -Werror -fno-strict-aliasing -fstack-protector-strong -D_GNU_SOURCE)
# Control flow that is guarded (CET), frames that cannot jump over a guard page, indices that are
# checked; what passes each packet's bytes does without the last (src/crypto/engines).
set(CYGNET_HARDENED_CODE "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(CYGNET_HARDENED_CODE -fcf-protection -fstack-clash-protection)
endif()
target_compile_options(cygnet_options INTERFACE ${CYGNET_HARDENED_CODE})
target_compile_definitions(cygnet_options INTERFACE _GLIBCXX_ASSERTIONS)
# Precompiled headers as ccache can keep them: no time stamp, preprocessed with the header named.
target_compile_options(cygnet_options INTERFACE
  $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
  $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
target_compile_definitions(cygnet_options INTERFACE
  $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2> CYGNET_VERSION="${PROJECT_VERSION}")
target_link_libraries(cygnet_options INTERFACE Threads::Threads)
# tools/check_binaries.py reads what came of it.
set(CYGNET_HARDENED_LINK -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(CYGNET_HARDENED_CODE)
  # Debian 12's start-up object lacks the note that all others have; it does nothing with its stack.
  list(APPEND CYGNET_HARDENED_LINK -Wl,-z,shstk)
endif()
target_link_options(cygnet_options INTERFACE ${CYGNET_HARDENED_LINK}
  $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
if(CYGNET_SANITIZE)
  # vptr needs the type information that the libraries are built without.
  target_compile_options(cygnet_options INTERFACE
    -fsanitize=${CYGNET_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer
    -U_FORTIFY_SOURCE)
  target_link_options(cygnet_options INTERFACE -fsanitize=${CYGNET_SANITIZE})
  find_program(CYGNET_LLD ld.lld)
  if(CYGNET_LLD)  # a fifth of the time
    target_link_options(cygnet_options INTERFACE -fuse-ld=lld)
  endif()
endif()
if(CYGNET_FUZZ)
  target_compile_options(cygnet_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Data path and protocol code neither throws nor asks for types at run time.
add_library(cygnet_strict INTERFACE)
target_link_libraries(cygnet_strict INTERFACE cygnet_options)

# Parses what most files of a library include once. Only the sanitizers' builds do: the plain build
# shows that each file includes what it needs.
function(cygnet_precompile target sources)
  list(LENGTH sources count)
  if(NOT CYGNET_SANITIZE OR count LESS 6)
    return()
  endif()
  set(headers <algorithm> <functional> <map> <memory> <optional> <set> <string> <vector>)
  if(fmt::fmt IN_LIST ARGN)
    list(APPEND headers <fmt/format.h>)
  endif()
  if(nlohmann_json::nlohmann_json IN_LIST ARGN)
    list(APPEND headers <nlohmann/json.hpp>)
  endif()
  target_precompile_headers(${target} PRIVATE ${headers})
endfunction()

# cygnet_library(NAME [FOLDERS folder ...] [DEPS lib ...] [PRIVATE_DEPS lib ...] [TEST_DEPS lib ...]
# [EXCEPTIONS]): all *.cc of the calling folder, and of FOLDERS in it,
# except tests become libcygnet_NAME.a; all *_test.cc become the test program
# NAME_test, which TEST_DEPS are linked to as well.
function(cygnet_library name)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "FOLDERS;DEPS;PRIVATE_DEPS;TEST_DEPS" ${ARGN})
  set(patterns *.cc)
  foreach(folder ${ARG_FOLDERS})
    list(APPEND patterns ${folder}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(cygnet_${name} STATIC ${sources})
    target_link_libraries(cygnet_${name} PUBLIC cygnet_strict ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
    if(NOT ARG_EXCEPTIONS)
      target_compile_options(cygnet_${name} PRIVATE -fno-exceptions -fno-rtti)
    endif()
    cygnet_precompile(cygnet_${name} "${sources}" ${ARG_DEPS} ${ARG_PRIVATE_DEPS})
  else()
    add_library(cygnet_${name} INTERFACE)
    target_link_libraries(cygnet_${name} INTERFACE cygnet_strict ${ARG_DEPS})
  endif()
  if(tests AND CYGNET_TESTS)
    cygnet_test(${name}_test SOURCES ${tests} DEPS cygnet_${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

# The headers that every test begins with, parsed once. A program, because that is how tests are
# compiled.
if(CYGNET_TESTS)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_headers.cc CONTENT "int main() { return 0; }\n")
  add_executable(cygnet_test_headers ${CMAKE_BINARY_DIR}/test_headers.cc)
  target_compile_options(cygnet_test_headers PRIVATE -O0 -U_FORTIFY_SOURCE)
  target_link_libraries(cygnet_test_headers PRIVATE cygnet_options cygnet_test_support
    GTest::gmock GTest::gtest_main)
  target_precompile_headers(cygnet_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>
    <algorithm> <functional> <map> <memory> <optional> <string> <thread> <vector>)
endif()

# cygnet_test(NAME SOURCES ... [DEPS ...] [LABEL unit]): a GoogleTest program under CTest.
function(cygnet_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  # Test programs run briefly; optimizing them would take half of the build time.
  target_compile_options(${name} PRIVATE -O0 -U_FORTIFY_SOURCE)
  target_link_libraries(${name} PRIVATE cygnet_options ${ARG_DEPS} cygnet_test_support
    GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM cygnet_test_headers)
  if(CYGNET_SANITIZE)
    # A sanitized program takes a third of a second to start: once for all of its tests.
    add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL})
  else()
    gtest_discover_tests(${name} PROPERTIES LABELS ${ARG_LABEL} DISCOVERY_TIMEOUT 60)
  endif()
endfunction()

# cygnet_plugin_table(TARGET HEADER TYPE ARRAY PREFIX names...): generates the built-in table of
# drivers or engines as a source file; explicit, so nothing is lost from a static library.
function(cygnet_plugin_table target header type array suffix)
  set(decls "")
  set(refs "")
  foreach(name ${ARGN})
    string(REPLACE "_" ";" words "${name}")
    set(camel "")
    foreach(word ${words})
      string(SUBSTRING "${word}" 0 1 first)
      string(SUBSTRING "${word}" 1 -1 rest)
      string(TOUPPER "${first}" first)
      string(APPEND camel "${first}${rest}")
    endforeach()
    string(APPEND decls "extern const ${type} k${camel}${suffix};\n")
    string(APPEND refs "    &k${camel}${suffix},\n")
  endforeach()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}_table.cc)
  file(CONFIGURE OUTPUT ${out} CONTENT
"// Generated by CMake from the registration lines of this folder.
#include \"${header}\"
namespace cygnet {
${decls}
namespace {
const ${type}* const kTable[] = {
${refs}};
}  // namespace
std::span<const ${type}* const> ${array}() { return kTable; }
}  // namespace cygnet
")
  target_sources(${target} PRIVATE ${out})
endfunction()

# --- Tests that are Python programs ---

# Debian's interpreter: the one that python3-scapy and python3-cryptography belong to.
set(CYGNET_PYTHON /usr/bin/python3)

set(CYGNET_SLOWNESS 1)
if(CYGNET_SANITIZE)
  set(CYGNET_SLOWNESS 5)
endif()

# Programs that measure, or lose packets when the machine is busy, have it to themselves; the others
# mostly wait.
set(CYGNET_ALONE "bench_smoke|lab[.]|interop[.](storm|moves|rekey|ports|size|cluster$|cluster_faults)")

# cygnet_python_test(NAME LABEL SECONDS script arguments...): SECONDS is the limit in a plain build.
function(cygnet_python_test name label seconds)
  add_test(NAME ${name} COMMAND ${CYGNET_PYTHON} ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  math(EXPR timeout "${seconds} * ${CYGNET_SLOWNESS}")
  set(alone OFF)
  if(name MATCHES "${CYGNET_ALONE}")
    set(alone ON)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${label}" RUN_SERIAL ${alone} TIMEOUT ${timeout}
    SKIP_RETURN_CODE 77
    ENVIRONMENT "CYGNET_BUILD=${CMAKE_BINARY_DIR};CYGNET_SLOWNESS=${CYGNET_SLOWNESS}")
  if(CYGNET_SANITIZE)  # two at a time: under sanitizers they are busy all the time
    set_tests_properties(${name} PROPERTIES PROCESSORS 2)
  endif()
endfunction()
