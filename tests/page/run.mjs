// node run.mjs SERVER: all tests of the page, against that program.
import './chat_test.mjs';
import './states_test.mjs';
import './tools_test.mjs';
import './glass_test.mjs';
import './hostile_test.mjs';
import './reach_test.mjs';
import './speed_test.mjs';
import './modules_test.mjs';
