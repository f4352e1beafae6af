<?php
define('BRANCH', '{{branch}}');
