-- One test that fails.

TestFailing = {}

function TestFailing:test_fails() error('as it should') end

addTestSuite('TestFailing')
